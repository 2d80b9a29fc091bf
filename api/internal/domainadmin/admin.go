// Package domainadmin makes and keeps domains, for operators: create, wrap, import, retire, check.
//
// # What it guarantees
//
// A domain is stored only after all of this held. KMS made the data key of each wrap, and showed it to nobody. An
// enclave whose measurements and configuration the operator named states, in a fresh attestation document over a nonce
// of this package, that it made the secret. The record is of the id, generation and suites that were asked for, its
// wraps are of the keys and data keys that were sent. An enclave has opened each wrap by itself. Then the record is
// stored where none is, with its audit entry, and read back. A crash before that leaves nothing that anybody uses, and
// the command is simply given again: what KMS and the enclave made before is lost without harm.
//
// The attacker is the parent, which carries what the enclave says, and whoever writes to the store.
//
// # Limits
//
// An imported domain has no such document: it is believed because the MAC that was exported with it is of the API's
// KMS HMAC key, or because the operator pins the hash of its descriptor.
package domainadmin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// Errors. Those of domains, store, attest and KMS pass, wrapped.
var (
	// ErrExpected reports a request that does not say which enclave is believed.
	ErrExpected = errors.New("no measurements, or no configuration digest, to hold the enclave to")
	// ErrAttestation reports a document that is not of an enclave that the operator named, about this domain.
	ErrAttestation = errors.New("the enclave's attestation document is not what it must be; nothing was stored")
	// ErrAnswer reports a record that is not what was asked for.
	ErrAnswer = errors.New("the enclave's record is not of the domain that was asked for; nothing was stored")
	// ErrTaken reports that the generation exists. Another administrator may have made it just now.
	ErrTaken = errors.New("the domain has this generation already")
	// ErrMeanwhile reports that the domain changed while it was worked on.
	ErrMeanwhile = errors.New("another administrator changed the domain meanwhile: look at it, then try again")
	// ErrOpen reports a wrap that no enclave could open.
	ErrOpen = errors.New("no enclave opens this wrap")
	// ErrProof reports an import without a MAC of this API's, or a pin, that holds.
	ErrProof = errors.New("nothing shows that this domain is genuine: its MAC is not of this API's HMAC key")
	// ErrPin reports a pin of another descriptor.
	ErrPin = errors.New("the descriptor has another hash than the pinned one")
	// ErrRequest reports a request that cannot be carried out.
	ErrRequest = errors.New("malformed request about a domain")
)

// nonceSize is the size of a nonce, in bytes.
const nonceSize = 32

// KMS makes data keys that it shows to nobody.
type KMS interface {
	NewDomainKey(ctx context.Context, arn, domain string, generation uint16) ([]byte, error)
}

// Enclave makes and opens domains. Package upstream implements it by asking the parent.
type Enclave interface {
	CreateDomain(ctx context.Context, r *parentapi.CreateDomain) (*parentapi.CreatedDomain, error)
	WrapDomain(ctx context.Context, r *parentapi.WrapDomain) (*parentapi.WrappedDomain, error)
}

// Journal carries out a write that stores its audit entry with it.
type Journal interface {
	Carry(ctx context.Context, ev *audit.Event, write func(*store.Entry) error) error
}

// MACs verifies MACs under the API's KMS HMAC key.
type MACs interface {
	VerifyMAC(ctx context.Context, message, mac []byte) (bool, error)
}

// Admin is safe for concurrent use.
type Admin struct {
	Store    store.Domains
	Registry *domains.Registry
	KMS      KMS
	MACs     MACs
	Enclave  Enclave
	Journal  Journal
	Now      func() time.Time // nil: time.Now
}

// Expect says which enclaves are believed.
type Expect struct {
	// PCRs are sets of measurements by register, in hex, of which one must hold. At least one, with PCR0.
	PCRs []map[int]string `json:"pcrs"`
	// Configuration is the SHA-256 digest of the enclave's configuration, in hex: what follows "redoubt/v1/config\0" in
	// the user data of a document that the enclave makes for callers.
	Configuration string `json:"configuration"`
	// Root is a PEM certificate of the root of attestation documents, for development. Empty: AWS's.
	Root []byte `json:"root,omitempty"`
}

func (e *Expect) options() (attest.Options, [32]byte, error) {
	var digest [32]byte
	n, err := hex.Decode(digest[:], []byte(e.Configuration))
	if err != nil || n != len(digest) || len(e.Configuration) != 2*len(digest) || len(e.PCRs) == 0 {
		return attest.Options{}, digest, ErrExpected
	}
	var out attest.Options
	if len(e.Root) > 0 {
		root, err := attest.ParseRoot(e.Root)
		if err != nil {
			return out, digest, fmt.Errorf("%w: %w", ErrExpected, err)
		}
		out.Roots = []attest.Root{root}
	}
	for _, set := range e.PCRs {
		pcrs := attest.PCRs{}
		for i, text := range set {
			m, err := attest.ParseMeasurement(text)
			if err != nil || i < 0 || i >= attest.MaxPCRs {
				return out, digest, ErrExpected
			}
			pcrs[i] = m
		}
		if _, ok := pcrs[0]; !ok {
			return out, digest, ErrExpected
		}
		out.Allowed = append(out.Allowed, pcrs)
	}
	return out, digest, nil
}

// Create asks for a new generation of a domain.
type Create struct {
	ID         string `json:"id"`
	Generation uint16 `json:"generation,omitempty"` // 0: the one after the highest
	// Suites are names of suites of vaults, the first the default; RequestSuites those of request keys.
	Suites        []string `json:"suites"`
	RequestSuites []string `json:"request_suites,omitempty"`
	KeyARNs       []string `json:"key_arns"` // KMS keys, one for each wrap
	Expect        Expect   `json:"expect"`
}

// Created is a domain that was made, with the enclave's document, which the operator may keep as evidence.
type Created struct {
	*domains.Domain
	Document []byte
}

// Create makes a generation of a domain. ErrExpected, ErrTaken, ErrAttestation, ErrAnswer, ErrOpen.
func (a *Admin) Create(ctx context.Context, c audit.Caller, q *Create) (*Created, error) {
	opts, digest, err := q.Expect.options()
	if err != nil {
		return nil, err
	}
	if !domain.ValidID(q.ID) || len(q.KeyARNs) == 0 || len(q.Suites) == 0 {
		return nil, ErrRequest
	}
	if q.Generation, err = a.free(ctx, q.ID, q.Generation); err != nil {
		return nil, err
	}
	ask := &parentapi.CreateDomain{
		ID: q.ID, Generation: q.Generation, Suites: q.Suites, RequestSuites: q.RequestSuites, Nonce: make([]byte, nonceSize),
	}
	_, _ = rand.Read(ask.Nonce) // never fails
	for i, arn := range q.KeyARNs {
		if slices.Contains(q.KeyARNs[:i], arn) {
			return nil, ErrRequest
		}
		blob, err := a.KMS.NewDomainKey(ctx, arn, q.ID, q.Generation)
		if err != nil {
			return nil, fmt.Errorf("data key of %s: %w", arn, err)
		}
		ask.DataKeys = append(ask.DataKeys, parentapi.DataKey{KeyARN: arn, Ciphertext: blob})
	}
	made, err := a.Enclave.CreateDomain(ctx, ask)
	if err != nil {
		return nil, err
	}
	record, err := asked(ask, made.Record)
	if err != nil {
		return nil, err
	}
	dh := domain.Sum(record.Descriptor)
	opts.Now = a.Now
	opts.Nonce, opts.UserData = attest.Equal(ask.Nonce), attest.Equal(domain.CreatedUserData(digest, dh))
	if _, err := attest.Verify(made.Attestation, opts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAttestation, err)
	}
	if err := a.openAll(ctx, record); err != nil {
		return nil, err
	}
	d, err := a.add(ctx, c, audit.EventCreateDomain, q.ID, q.Generation, dh, made.Record)
	if err != nil {
		return nil, err
	}
	return &Created{d, made.Attestation}, nil
}

// free returns the generation to make. ErrTaken.
func (a *Admin) free(ctx context.Context, id string, wanted uint16) (uint16, error) {
	highest, taken := uint16(0), false
	err := a.Store.ListDomains(ctx, func(d *store.Domain) error {
		if d.ID == id {
			highest, taken = max(highest, d.Generation), taken || d.Generation == wanted
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case taken:
		return 0, ErrTaken
	case wanted != 0:
		return wanted, nil
	case highest == 1<<16-1:
		return 0, ErrRequest
	}
	return highest + 1, nil
}

// asked checks that a record is of what was asked for. ErrAnswer.
func asked(q *parentapi.CreateDomain, encoded []byte) (*domain.Record, error) {
	r, d, err := domain.ParseRecord(encoded)
	if err != nil || d.ID != q.ID || d.Generation != q.Generation || len(r.Wraps) != len(q.DataKeys) ||
		!slices.Equal(names(d.Suites), q.Suites) || len(d.Requests) != len(q.RequestSuites) {
		return nil, ErrAnswer
	}
	for i := range d.Requests {
		if d.Requests[i].Suite.String() != q.RequestSuites[i] {
			return nil, ErrAnswer
		}
	}
	for i, k := range q.DataKeys {
		if r.Wraps[i].ARN != k.KeyARN || !bytes.Equal(r.Wraps[i].DataKey, k.Ciphertext) {
			return nil, ErrAnswer
		}
	}
	return r, nil
}

func names(suites []sealed.Suite) []string {
	out := make([]string, len(suites))
	for i, s := range suites {
		out[i] = s.String()
	}
	return out
}

// openAll has an enclave open each wrap of a record by itself. ErrOpen.
func (a *Admin) openAll(ctx context.Context, r *domain.Record) error {
	for i := range r.Wraps {
		if err := a.open(ctx, r, i); err != nil {
			return err
		}
	}
	return nil
}

func (a *Admin) open(ctx context.Context, r *domain.Record, i int) error {
	alone, err := (&domain.Record{Descriptor: r.Descriptor, Wraps: r.Wraps[i : i+1]}).Append(nil)
	if err != nil {
		return err
	}
	out, err := a.Enclave.WrapDomain(ctx, &parentapi.WrapDomain{Record: alone})
	if err != nil {
		return fmt.Errorf("%w, of %s: %w", ErrOpen, r.Wraps[i].ARN, err)
	}
	if !bytes.Equal(out.Record, alone) {
		return ErrAnswer
	}
	return nil
}

// EntryID is the id under which the audit log has what happened to a domain. No vault has such an id.
func EntryID(id string) string { return "domain." + id }

func event(c audit.Caller, name, id string, generation uint16, dh domain.Hash, more ...string) *audit.Event {
	return &audit.Event{
		Caller: c, VaultID: EntryID(id), Name: name, Outcome: audit.OutcomeOK,
		Reason: strings.Join(append([]string{fmt.Sprintf("generation %d", generation)}, more...), ", "),
		Key:    &audit.KeyChange{Domain: hex.EncodeToString(dh[:])},
	}
}

// add stores a record that was verified, with its entry. ErrTaken if another came first.
func (a *Admin) add(ctx context.Context, c audit.Caller, name, id string, generation uint16, dh domain.Hash,
	record []byte,
) (*domains.Domain, error) {
	err := a.Journal.Carry(ctx, event(c, name, id, generation, dh), func(e *store.Entry) error {
		return a.Registry.Put(ctx, record, e)
	})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return nil, err
	}
	d, err := a.Registry.Confirm(ctx, record)
	if errors.Is(err, domains.ErrOther) {
		return nil, fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return d, err
}

// Wrap adds a wrap of another KMS key to a generation. ErrMeanwhile, ErrAnswer, ErrOpen, store.ErrNotFound.
func (a *Admin) Wrap(ctx context.Context, c audit.Caller, id string, generation uint16, arn string) (
	*domains.Domain, error,
) {
	d, err := a.Get(ctx, id, generation)
	if err != nil {
		return nil, err
	}
	if d.Record.Find(arn) != nil {
		return nil, fmt.Errorf("%w: it has a wrap of this key", ErrTaken)
	}
	blob, err := a.KMS.NewDomainKey(ctx, arn, d.Descriptor.ID, d.Descriptor.Generation)
	if err != nil {
		return nil, err
	}
	key := parentapi.DataKey{KeyARN: arn, Ciphertext: blob}
	out, err := a.Enclave.WrapDomain(ctx, &parentapi.WrapDomain{Record: d.Encoded, DataKey: &key})
	if err != nil {
		return nil, err
	}
	next, _, err := domain.ParseRecord(out.Record)
	if err != nil || len(next.Wraps) != len(d.Record.Wraps)+1 {
		return nil, ErrAnswer
	}
	last := len(next.Wraps) - 1
	if next.Wraps[last].ARN != arn || !bytes.Equal(next.Wraps[last].DataKey, blob) {
		return nil, ErrAnswer
	}
	if err := a.open(ctx, next, last); err != nil {
		return nil, err
	}
	return a.change(ctx, event(c, audit.EventWrapDomain, d.Descriptor.ID, d.Descriptor.Generation, d.Hash, arn), d,
		func(e *store.Entry) error { return a.Registry.AddWrap(ctx, d, out.Record, e) })
}

// Retire ends the use of a generation for what is new. ErrMeanwhile, store.ErrNotFound.
func (a *Admin) Retire(ctx context.Context, c audit.Caller, id string, generation uint16) (*domains.Domain, error) {
	d, err := a.Get(ctx, id, generation)
	if err != nil || d.State == domains.StateRetired {
		return d, err
	}
	return a.change(ctx, event(c, audit.EventRetireDomain, d.Descriptor.ID, d.Descriptor.Generation, d.Hash), d,
		func(e *store.Entry) error { return a.Registry.Retire(ctx, d, e) })
}

func (a *Admin) change(ctx context.Context, ev *audit.Event, d *domains.Domain, write func(*store.Entry) error) (
	*domains.Domain, error,
) {
	err := a.Journal.Carry(ctx, ev, write)
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil, ErrMeanwhile
	case errors.Is(err, domains.ErrWraps):
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	case err != nil:
		return nil, err
	}
	return a.Registry.Get(ctx, d.Descriptor.ID, d.Descriptor.Generation)
}

// Get returns a generation of a domain; 0: the highest that is active. store.ErrNotFound, domains.ErrUntrusted.
func (a *Admin) Get(ctx context.Context, id string, generation uint16) (*domains.Domain, error) {
	if generation == 0 {
		return a.Registry.Current(ctx, id)
	}
	return a.Registry.Get(ctx, id, generation)
}
