// Package domains is the API's registry of domains: which generations there are, and which of them are believed.
//
// # What it guarantees
//
// A domain record that it returns was added by this API, or one that has the same KMS HMAC key: its descriptor's hash
// carries a MAC of that key over [domain.MACInput]. The record under an id and generation is of that id and
// generation. A record is put where none is, once; later only its wraps and its state change. An attacker who writes to
// the store can remove a domain, which is an outage, and put an older wrap or state back. He cannot add a domain.
//
// # What it does not
//
// A MAC says that [Registry.Add] was called. The caller of Add MUST have verified before, by the enclave's attestation
// document, that an enclave made the descriptor's secret. A descriptor alone proves no origin: see package domain.
//
// Verified MACs are remembered, by record and MAC, so that a read costs no call to KMS.
package domains

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/verified"
	"redoubt/wire/kit/domain"
)

// States of a generation of a domain.
const (
	StateActive  = "active"
	StateRetired = "retired" // nothing new is put under it
)

// These are the registry's errors beside those of the store and of KMS.
var (
	// ErrUntrusted reports a stored domain that this API did not add, or one that was moved or changed.
	ErrUntrusted = errors.New("domains: the stored domain is not one that this API added; restore it from a backup")
	// ErrRetired reports a generation under which nothing new is put.
	ErrRetired = errors.New("domains: the generation is retired")
	// ErrOther reports that another domain record has this id and generation already.
	ErrOther = errors.New("domains: id and generation have another record already")
	// ErrWraps reports a record that is not the stored one with more wraps.
	ErrWraps = errors.New("domains: not the same domain with one more wrap")
)

// maxBelieved bounds the MACs that are remembered as verified.
const maxBelieved = 4096

// Keys makes and verifies MACs under the API's KMS HMAC key.
type Keys interface {
	MAC(ctx context.Context, message []byte) ([]byte, error)
	verified.Keys
}

// Domain is a generation that is believed.
type Domain struct {
	Record     *domain.Record
	Descriptor *domain.Descriptor
	Hash       domain.Hash // dh
	Encoded    []byte      // the record, to be handed over
	State      string

	stored store.Domain
}

// Registry is safe for concurrent use.
type Registry struct {
	store    store.Domains
	keys     Keys
	believed *verified.MACs
	finder   finder
}

// New makes a registry of the domains in s.
func New(s store.Domains, keys Keys) *Registry {
	return &Registry{store: s, keys: keys, believed: verified.New(keys, maxBelieved), finder: finder{
		now: time.Now, places: map[domain.Hash]place{}, found: map[domain.Hash]*Domain{},
	}}
}

// Add stores a domain record that the caller has verified, and reads it back. If two add the same id and generation at
// once, one wins, and the other gets ErrOther. The same record may be added again. domain.ErrRecord,
// domain.ErrDescriptor, ErrOther, ErrUntrusted.
func (r *Registry) Add(ctx context.Context, record []byte, e *store.Entry) (*Domain, error) {
	if err := r.Put(ctx, record, e); err != nil && !errors.Is(err, store.ErrExists) {
		return nil, err
	}
	return r.Confirm(ctx, record)
}

// Put is the first half of Add: it stores the record and the entry, or neither. store.ErrExists if id and generation
// have a record already, be it this one.
func (r *Registry) Put(ctx context.Context, record []byte, e *store.Entry) error {
	parsed, d, err := domain.ParseRecord(record)
	if err != nil {
		return err
	}
	mac, err := r.keys.MAC(ctx, domain.MACInput(domain.Sum(parsed.Descriptor)))
	if err != nil {
		return err
	}
	put := &store.Domain{ID: d.ID, Generation: d.Generation, Record: record, MAC: mac, State: StateActive}
	return r.store.PutDomain(ctx, put, e)
}

// Confirm is the second half of Add: it reads the domain back. ErrOther if another record is stored.
func (r *Registry) Confirm(ctx context.Context, record []byte) (*Domain, error) {
	_, d, err := domain.ParseRecord(record)
	if err != nil {
		return nil, err
	}
	there, err := r.Get(ctx, d.ID, d.Generation)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read back: %w", err)
	case !bytes.Equal(there.Encoded, record):
		return nil, ErrOther
	}
	return there, nil
}

// Get returns a generation of a domain. store.ErrNotFound, ErrUntrusted.
func (r *Registry) Get(ctx context.Context, id string, generation uint16) (*Domain, error) {
	stored, err := r.store.Domain(ctx, id, generation)
	if err != nil {
		return nil, err
	}
	return r.judge(ctx, stored)
}

// Current returns the highest active generation of a domain. store.ErrNotFound. A generation that is not believed is
// an error, and not passed over: a lower one must not take its place.
func (r *Registry) Current(ctx context.Context, id string) (*Domain, error) {
	var newest *store.Domain
	err := r.store.ListDomains(ctx, func(d *store.Domain) error {
		if d.ID == id && d.State == StateActive && (newest == nil || d.Generation > newest.Generation) {
			newest = d
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case newest == nil:
		return nil, store.ErrNotFound
	}
	return r.judge(ctx, newest)
}

// AddWrap replaces the record of d by one that has all its wraps and more. The caller MUST have had an enclave open the
// new one. store.ErrConflict if d is no longer what is stored. ErrWraps.
func (r *Registry) AddWrap(ctx context.Context, d *Domain, record []byte, e *store.Entry) error {
	next, _, err := domain.ParseRecord(record)
	if err != nil {
		return err
	}
	if !bytes.Equal(next.Descriptor, d.Record.Descriptor) || len(next.Wraps) <= len(d.Record.Wraps) {
		return ErrWraps
	}
	for _, old := range d.Record.Wraps {
		kept := next.Find(old.ARN)
		if kept == nil || kept.Salt != old.Salt || kept.Sealed != old.Sealed || !bytes.Equal(kept.DataKey, old.DataKey) {
			return ErrWraps
		}
	}
	changed := d.stored
	changed.Record = record
	return r.store.UpdateDomain(ctx, &changed, e)
}

// Retire ends the use of a generation for what is new. store.ErrConflict if d is no longer what is stored.
func (r *Registry) Retire(ctx context.Context, d *Domain, e *store.Entry) error {
	changed := d.stored
	changed.State = StateRetired
	return r.store.UpdateDomain(ctx, &changed, e)
}

// judge believes a stored domain, or does not.
func (r *Registry) judge(ctx context.Context, stored *store.Domain) (*Domain, error) {
	record, d, err := domain.ParseRecord(stored.Record)
	if err != nil || d.ID != stored.ID || d.Generation != stored.Generation {
		return nil, ErrUntrusted
	}
	out := &Domain{
		Record: record, Descriptor: d, Hash: domain.Sum(record.Descriptor), Encoded: stored.Record, State: stored.State,
		stored: *stored,
	}
	message := domain.MACInput(out.Hash)
	ok, err := r.believed.Verify(ctx, message, stored.MAC)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrUntrusted
	}
	r.finder.remember(out)
	return out, nil
}
