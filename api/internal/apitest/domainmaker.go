package apitest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/parentapi"
)

// ErrDenied is what a DomainMaker's KMS says of a key that is denied.
var ErrDenied = errors.New("denied")

// DomainMaker plays KMS and an enclave for the making of domains: secrets are really made and wrapped, and documents
// signed. A test changes its fields before it uses it.
type DomainMaker struct {
	mu       sync.Mutex
	dataKeys map[string][]byte // by ARN, encryption context and blob

	Denied    map[string]bool // ARNs that KMS opens no more
	MACKey    []byte
	Authority *attesttest.Authority
	Digest    [32]byte // of the enclave's configuration
	Spec      func(*attesttest.Spec)
	Record    func([]byte) []byte // changes what CreateDomain and WrapDomain answer
	Creating  func()              // called before CreateDomain answers
	Wrapping  func()              // called before WrapDomain answers a data key
}

// NewDomainMaker makes one with documents of a root of its own.
func NewDomainMaker(tb testing.TB) *DomainMaker {
	tb.Helper()
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		tb.Fatal(err)
	}
	return &DomainMaker{
		dataKeys: map[string][]byte{}, Denied: map[string]bool{}, MACKey: []byte("mac key"), Authority: authority,
		Digest: sha256.Sum256([]byte("enclave.yaml")),
	}
}

// MAC implements domains.Keys.
func (m *DomainMaker) MAC(_ context.Context, message []byte) ([]byte, error) {
	sum := hmac.New(sha256.New, m.MACKey)
	sum.Write(message)
	return sum.Sum(nil), nil
}

// VerifyMAC implements domains.Keys.
func (m *DomainMaker) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	want, err := m.MAC(ctx, message)
	return hmac.Equal(want, mac), err
}

func keyPlace(arn, id string, generation uint16, blob []byte) string {
	return fmt.Sprintf("%s %s %d %x", arn, id, generation, blob)
}

// NewDomainKey implements domainadmin.KMS.
func (m *DomainMaker) NewDomainKey(_ context.Context, arn, id string, generation uint16) ([]byte, error) {
	key, blob := make([]byte, domain.DataKeySize), make([]byte, 64)
	_, _ = rand.Read(key)
	_, _ = rand.Read(blob)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Denied[arn] {
		return nil, ErrDenied
	}
	m.dataKeys[keyPlace(arn, id, generation, blob)] = key
	return blob, nil
}

// decrypt is KMS's Decrypt for the enclave.
func (m *DomainMaker) decrypt(arn, id string, generation uint16, blob []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := m.dataKeys[keyPlace(arn, id, generation, blob)]
	if key == nil || m.Denied[arn] {
		return nil, ErrDenied
	}
	return key, nil
}

func suitesOf(all []string) (out []sealed.Suite) {
	for _, name := range all {
		if s, err := sealed.DomainSuiteNamed(name); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// CreateDomain implements domainadmin.Enclave.
func (m *DomainMaker) CreateDomain(_ context.Context, q *parentapi.CreateDomain) (*parentapi.CreatedDomain, error) {
	if m.Creating != nil {
		m.Creating()
	}
	var keys [][]byte
	for _, k := range q.DataKeys {
		key, err := m.decrypt(k.KeyARN, q.ID, q.Generation, k.Ciphertext)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	ds, random := make([]byte, domain.SecretSize), make([]byte, 64)
	_, _ = rand.Read(random)
	if err := domain.NewSecret(ds, random[:32], random[32:], keys, q.ID, q.Generation); err != nil {
		return nil, err
	}
	described, err := domain.Describe(ds, q.ID, q.Generation, 1, suitesOf(q.Suites), suitesOf(q.RequestSuites))
	if err != nil {
		return nil, err
	}
	dh := domain.Sum(described)
	r := domain.Record{Descriptor: described}
	for i, k := range q.DataKeys {
		wrap, err := domain.SealSecret(keys[i], newSalt(), dh, k.KeyARN, k.Ciphertext, ds)
		if err != nil {
			return nil, err
		}
		r.Wraps = append(r.Wraps, wrap)
	}
	record, err := r.Append(nil)
	if err != nil {
		return nil, err
	}
	spec := attesttest.Spec{Nonce: q.Nonce, UserData: domain.CreatedUserData(m.Digest, dh)}
	if m.Spec != nil {
		m.Spec(&spec)
	}
	document, err := m.Authority.Issue(spec)
	if err != nil {
		return nil, err
	}
	return &parentapi.CreatedDomain{Record: m.changed(record), Attestation: document}, nil
}

func newSalt() (out [domain.SaltSize]byte) {
	_, _ = rand.Read(out[:])
	return out
}

func (m *DomainMaker) changed(record []byte) []byte {
	if m.Record != nil {
		return m.Record(record)
	}
	return record
}

// WrapDomain implements domainadmin.Enclave.
func (m *DomainMaker) WrapDomain(_ context.Context, q *parentapi.WrapDomain) (*parentapi.WrappedDomain, error) {
	r, d, err := domain.ParseRecord(q.Record)
	if err != nil {
		return nil, err
	}
	dh, ds, err := domain.Sum(r.Descriptor), make([]byte, domain.SecretSize), ErrDenied
	for i := range r.Wraps {
		var key []byte
		key, err = m.decrypt(r.Wraps[i].ARN, d.ID, d.Generation, r.Wraps[i].DataKey)
		if err == nil {
			err = r.Wraps[i].Open(ds, key, dh)
		}
		if err == nil {
			break
		}
	}
	if err != nil || q.DataKey == nil {
		return &parentapi.WrappedDomain{Record: q.Record}, err
	}
	if m.Wrapping != nil {
		m.Wrapping()
	}
	key, err := m.decrypt(q.DataKey.KeyARN, d.ID, d.Generation, q.DataKey.Ciphertext)
	if err != nil {
		return nil, err
	}
	wrap, err := domain.SealSecret(key, newSalt(), dh, q.DataKey.KeyARN, q.DataKey.Ciphertext, ds)
	if err != nil {
		return nil, err
	}
	r.Wraps = append(r.Wraps, wrap)
	record, err := r.Append(nil)
	return &parentapi.WrappedDomain{Record: m.changed(record)}, err
}
