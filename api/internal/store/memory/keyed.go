package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"redoubt/api/internal/store"
)

// This file keeps vaults under domains, their keys and the domains.

// liveKeys reads a key item or tombstone. mu is held.
func (s *Store) liveKeys(id string) (*store.Keys, error) {
	k := s.keys[id]
	if k == nil || k.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return k, nil
}

// putKeys stores the next revision of a key item. mu is held.
func (s *Store) putKeys(k *store.Keys) {
	k = cloneKeys(k)
	k.Revision++
	s.keys[k.VaultID] = k
}

// asRead returns the record and the key item if both are as they were read. mu is held.
func (s *Store) asRead(id string, revision int64, read *store.Keys) (*store.Record, *store.Keys, error) {
	k, err := s.liveKeys(id)
	if err == nil && k.Erased != 0 {
		return nil, nil, store.ErrErased
	}
	r, err := s.at(id, revision)
	if err != nil {
		return nil, nil, err
	}
	if (k == nil) != (read == nil) || k != nil && k.Revision != read.Revision {
		return nil, nil, store.ErrConflict
	}
	return r, k, nil
}

// CreateKeyed implements store.Domains.
func (s *Store) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	if !k.Of(r) {
		return store.ErrEpochs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if old, err := s.liveKeys(r.ID); err == nil && old.Erased != 0 {
		return store.ErrErased
	} else if err == nil {
		return store.ErrExists
	}
	if err := s.create(r, e, i); err != nil {
		return err
	}
	s.putKeys(&store.Keys{VaultID: r.ID, Epochs: []store.Epoch{*k}, ExpireAt: r.ExpireAt})
	return nil
}

// GetKeyed implements store.Domains.
func (s *Store) GetKeyed(_ context.Context, id string) (*store.Record, *store.Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, found := s.live(id)
	if found == nil && r.Domain == nil {
		return cloneRecord(r), nil, nil
	}
	k, _ := s.liveKeys(id)
	if err := store.Together(r, k, found); err != nil {
		if err == store.ErrInconsistent { //nolint:errorlint // exactly this value
			s.inconsistent++
		}
		return nil, nil, err
	}
	return cloneRecord(r), cloneKeys(k), nil
}

// Inconsistent counts how often a record was met whose key is not in its key item.
func (s *Store) Inconsistent() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inconsistent
}

// Keys implements store.Domains.
func (s *Store) Keys(_ context.Context, id string) (*store.Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.liveKeys(id)
	if err != nil {
		return nil, err
	}
	return cloneKeys(k), nil
}

// Reseal implements store.Domains.
func (s *Store) Reseal(ctx context.Context, q *store.Reseal, e *store.Entry) error {
	if !q.Key.Of(q.Record) {
		return store.ErrEpochs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, k, err := s.asRead(q.Record.ID, q.Revision, q.Keys)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return err
	}
	epochs, err := k.With(&q.Key, q.Drop)
	if err != nil {
		return err
	}
	if s.taken(e) {
		return store.ErrExists
	}
	next := &store.Keys{VaultID: q.Record.ID, Epochs: epochs, ExpireAt: q.Record.ExpireAt}
	if k != nil {
		next.Revision = k.Revision
	}
	s.put(e)
	s.putKeys(next)
	s.records[q.Record.ID] = cloneRecord(q.Record)
	return nil
}

// DropEpochs implements store.Domains.
func (s *Store) DropEpochs(
	ctx context.Context, id string, revision int64, read *store.Keys, drop []uint16, e *store.Entry,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, k, err := s.asRead(id, revision, read)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return err
	}
	if k == nil {
		return store.ErrNotFound
	}
	next := cloneKeys(k)
	if next.Epochs, err = k.Without(drop); err != nil {
		return err
	}
	if next.Epoch(r.Epoch) == nil {
		return store.ErrEpochs
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	s.putKeys(next)
	return nil
}

// Erase implements store.Domains.
func (s *Store) Erase(
	ctx context.Context, id string, revision int64, read *store.Keys, at int64, e *store.Entry,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, k, err := s.asRead(id, revision, read)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return err
	}
	if k == nil {
		return store.ErrNotFound
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	s.putKeys(&store.Keys{VaultID: id, Revision: k.Revision, Erased: at, Digests: k.Sums()})
	delete(s.records, id)
	return nil
}

func generation(id string, n uint16) string { return fmt.Sprintf("%s/%05d", id, n) }

// PutDomain implements store.Domains.
func (s *Store) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	return s.putDomain(ctx, d, e, func(old *store.Domain) error {
		if old != nil {
			return store.ErrExists
		}
		return nil
	})
}

// UpdateDomain implements store.Domains.
func (s *Store) UpdateDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	return s.putDomain(ctx, d, e, func(old *store.Domain) error {
		switch {
		case old == nil:
			return store.ErrNotFound
		case old.Revision != d.Revision:
			return store.ErrConflict
		}
		return nil
	})
}

func (s *Store) putDomain(ctx context.Context, d *store.Domain, e *store.Entry, may func(*store.Domain) error) error {
	if len(d.Record) > store.MaxDomainRecord {
		return store.ErrTooLarge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := generation(d.ID, d.Generation)
	old := s.domains[key]
	if err := cmp.Or(ctx.Err(), may(old)); err != nil {
		return err
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	c := cloneDomain(d)
	c.Revision = 1
	if old != nil {
		c.Revision = old.Revision + 1
	}
	s.domains[key] = c
	return nil
}

// Domain implements store.Domains.
func (s *Store) Domain(_ context.Context, id string, n uint16) (*store.Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domains[generation(id, n)]
	if d == nil {
		return nil, store.ErrNotFound
	}
	return cloneDomain(d), nil
}

// ListDomains implements store.Domains.
func (s *Store) ListDomains(_ context.Context, yield func(*store.Domain) error) error {
	s.mu.Lock()
	var all []*store.Domain
	for _, key := range slices.Sorted(maps.Keys(s.domains)) {
		all = append(all, cloneDomain(s.domains[key]))
	}
	s.mu.Unlock()
	for _, d := range all {
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

func cloneKeys(k *store.Keys) *store.Keys {
	c := *k
	c.Epochs = slices.Clone(k.Epochs)
	for i, e := range c.Epochs {
		c.Epochs[i] = store.Epoch{
			WrappedKey: bytes.Clone(e.WrappedKey), PublicKey: bytes.Clone(e.PublicKey), Statement: bytes.Clone(e.Statement),
			Suite: bytes.Clone(e.Suite), Created: e.Created,
		}
	}
	c.Digests = slices.Clone(k.Digests)
	return &c
}

func cloneDomain(d *store.Domain) *store.Domain {
	c := *d
	c.Record, c.MAC = bytes.Clone(d.Record), bytes.Clone(d.MAC)
	return &c
}
