package domainadmin_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/parentapi"
)

const (
	keyA = "arn:aws:kms:eu-central-1:111122223333:key/a"
	keyB = "arn:aws:kms:eu-west-1:111122223333:key/b"
)

var (
	errDenied     = errors.New("denied")
	configuration = sha256.Sum256([]byte("enclave.yaml"))
	admin         = audit.Caller{Principal: "operator"}
)

// world plays KMS and the enclave. A test changes what they answer.
type world struct {
	mu       sync.Mutex
	dataKeys map[string][]byte // by ARN, encryption context and blob
	denied   map[string]bool   // ARNs that KMS opens no more
	macKey   []byte

	authority *attesttest.Authority
	digest    [32]byte
	spec      func(*attesttest.Spec)
	record    func([]byte) []byte // changes what CreateDomain and WrapDomain answer
	create    func()              // before CreateDomain answers
	wrap      func()              // before WrapDomain answers a data key
}

func (w *world) MAC(_ context.Context, message []byte) ([]byte, error) {
	m := hmac.New(sha256.New, w.macKey)
	m.Write(message)
	return m.Sum(nil), nil
}

func (w *world) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	want, err := w.MAC(ctx, message)
	return hmac.Equal(want, mac), err
}

func place(arn, id string, generation uint16, blob []byte) string {
	return fmt.Sprintf("%s %s %d %x", arn, id, generation, blob)
}

func (w *world) NewDomainKey(_ context.Context, arn, id string, generation uint16) ([]byte, error) {
	key, blob := make([]byte, domain.DataKeySize), make([]byte, 64)
	_, _ = rand.Read(key)
	_, _ = rand.Read(blob)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.denied[arn] {
		return nil, errDenied
	}
	w.dataKeys[place(arn, id, generation, blob)] = key
	return blob, nil
}

// decrypt is KMS's Decrypt for the enclave.
func (w *world) decrypt(arn, id string, generation uint16, blob []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := w.dataKeys[place(arn, id, generation, blob)]
	if key == nil || w.denied[arn] {
		return nil, errDenied
	}
	return key, nil
}

func suitesOf(all []string) (out []sealed.Suite) {
	for _, name := range all {
		for _, s := range sealed.DomainSuites() {
			if s.String() == name {
				out = append(out, s)
			}
		}
	}
	return out
}

func (w *world) CreateDomain(_ context.Context, q *parentapi.CreateDomain) (*parentapi.CreatedDomain, error) {
	if w.create != nil {
		w.create()
	}
	var keys [][]byte
	for _, k := range q.DataKeys {
		key, err := w.decrypt(k.KeyARN, q.ID, q.Generation, k.Ciphertext)
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
		wrap, err := domain.SealSecret(keys[i], salt(), dh, k.KeyARN, k.Ciphertext, ds)
		if err != nil {
			return nil, err
		}
		r.Wraps = append(r.Wraps, wrap)
	}
	record, err := r.Append(nil)
	if err != nil {
		return nil, err
	}
	spec := attesttest.Spec{Nonce: q.Nonce, UserData: domain.CreatedUserData(w.digest, dh)}
	if w.spec != nil {
		w.spec(&spec)
	}
	document, err := w.authority.Issue(spec)
	if err != nil {
		return nil, err
	}
	return &parentapi.CreatedDomain{Record: w.changed(record), Attestation: document}, nil
}

func salt() (out [domain.SaltSize]byte) {
	_, _ = rand.Read(out[:])
	return out
}

func (w *world) changed(record []byte) []byte {
	if w.record != nil {
		return w.record(record)
	}
	return record
}

func (w *world) WrapDomain(_ context.Context, q *parentapi.WrapDomain) (*parentapi.WrappedDomain, error) {
	r, d, err := domain.ParseRecord(q.Record)
	if err != nil {
		return nil, err
	}
	dh, ds, err := domain.Sum(r.Descriptor), make([]byte, domain.SecretSize), errDenied
	for i := range r.Wraps {
		var key []byte
		key, err = w.decrypt(r.Wraps[i].ARN, d.ID, d.Generation, r.Wraps[i].DataKey)
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
	if w.wrap != nil {
		w.wrap()
	}
	key, err := w.decrypt(q.DataKey.KeyARN, d.ID, d.Generation, q.DataKey.Ciphertext)
	if err != nil {
		return nil, err
	}
	wrap, err := domain.SealSecret(key, salt(), dh, q.DataKey.KeyARN, q.DataKey.Ciphertext, ds)
	if err != nil {
		return nil, err
	}
	r.Wraps = append(r.Wraps, wrap)
	record, err := r.Append(nil)
	return &parentapi.WrappedDomain{Record: w.changed(record)}, err
}

// journal writes each event's entry with its change, as the API does.
type journal struct{ log *audit.Log }

func (j journal) Carry(ctx context.Context, ev *audit.Event, write func(*store.Entry) error) error {
	p, err := j.log.Begin(ctx, *ev)
	if err != nil {
		return err
	}
	err = write(p.Entry())
	p.Done(err)
	return err
}

type rig struct {
	*testing.T
	*world
	*domainadmin.Admin
	store store.Store
}

func newRig(t *testing.T) *rig {
	t.Helper()
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		dataKeys: map[string][]byte{}, denied: map[string]bool{}, macKey: []byte("mac key"), authority: authority,
		digest: configuration,
	}
	s := memory.New(nil)
	return &rig{T: t, world: w, store: s, Admin: newAdmin(w, s)}
}

func newAdmin(w *world, s store.Store) *domainadmin.Admin {
	return &domainadmin.Admin{
		Store: s, Registry: domains.New(s, w), KMS: w, MACs: w, Enclave: w,
		Journal: journal{audit.New(audit.Config{Store: s, Keys: w, Now: time.Now})}, Roots: []attest.Root{w.authority.Root()},
	}
}

// request is a Create that goes well.
func request(keys ...string) *domainadmin.Create {
	pcrs := map[int]string{}
	for i, m := range attesttest.DefaultPCRs() {
		pcrs[i] = m.String()
	}
	return &domainadmin.Create{
		ID: "acme", Suites: []string{"X-Wing", "P-384"}, RequestSuites: []string{"P-384"}, KeyARNs: keys,
		Expect: domainadmin.Expect{PCRs: []map[int]string{pcrs}, Configuration: hex.EncodeToString(configuration[:])},
	}
}

func (r *rig) create(keys ...string) *domainadmin.Created {
	r.Helper()
	d, err := r.Create(r.Context(), admin, request(keys...))
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// events lists what the audit log has of the domain.
func (r *rig) events() string {
	r.Helper()
	list, _, err := r.store.Audit(r.Context(), domainadmin.EntryID("acme"), store.Page{})
	if err != nil {
		r.Fatal(err)
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Event)
	}
	return strings.Join(names, " ")
}

// nothing checks that there is no domain.
func (r *rig) nothing() {
	r.Helper()
	list, err := r.List(r.Context(), "")
	if err != nil || len(list) != 0 || r.events() != "" {
		r.Errorf("stored: %v, %v, %q", list, err, r.events())
	}
}
