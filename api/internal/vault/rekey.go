package vault

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/sealed"
)

// maxEncs is the most encapsulated keys of a record, the parent's bound of a request. A write beyond them moves the
// vault to a new key, which leaves one for all fields.
const maxEncs = 32

// patchKeyed seals the values to the key of a vault under a domain. If that key is of an earlier generation than the
// one that is written to, or if the record has as many encapsulated keys as it may have, the vault gets a new key in
// the same write.
func (s *Service) patchKeyed(ctx context.Context, r *item, ev *audit.Event, values map[string]string, expireAt *int64,
	owned *[]string,
) (*change, error) {
	k, err := s.believe(ctx, r)
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(values))
	drop := unused(r.Record, names)
	below, err := s.below(ctx, k)
	if err != nil {
		return nil, err
	}
	ev.Key = nil
	if !below && len(r.Encs)-len(drop) < maxEncs {
		ref, enc, set, err := sealTo(k.suite, k.PublicKey, r.ID, values)
		if err != nil {
			return nil, err
		}
		return &change{Update: &store.Update{
			Set: set, ExpireAt: expireAt, Own: owned, AddEncs: map[string][]byte{ref: enc}, DropEncs: drop,
		}}, nil
	}
	moved, err := s.move(ctx, r, names)
	if err != nil {
		return nil, err
	}
	ref, enc, set, err := sealTo(moved.suite, moved.Key.PublicKey, r.ID, values)
	if err != nil {
		return nil, err
	}
	next := moved.Record
	next.Encs[ref] = enc
	maps.Copy(next.Fields, set)
	if expireAt != nil {
		next.ExpireAt = *expireAt
	}
	if owned != nil {
		next.Own = *owned
	}
	ev.Key = moved.event
	return &change{reseal: moved.Reseal}, nil
}

// below reports whether a key is of an earlier generation than writes to its domain are to use.
func (s *Service) below(ctx context.Context, k *believed) (bool, error) {
	if k.domain.Descriptor.ID != s.cfg.Domain {
		return false, nil
	}
	d, err := s.current(ctx)
	if err != nil {
		return false, err
	}
	return k.domain.Descriptor.Generation < d.Descriptor.Generation, nil
}

// unused lists the encapsulated keys of a record that no field names once those in leaving are gone or replaced.
func unused(r *store.Record, leaving []string) (out []string) {
	used := make(map[string]bool, len(r.Encs))
	for name, v := range r.Fields {
		if ref, ok := refOf(v.Blob); ok && !slices.Contains(leaving, name) {
			used[ref] = true
		}
	}
	for ref := range r.Encs {
		if !used[ref] {
			out = append(out, ref)
		}
	}
	slices.Sort(out)
	return out
}

// sealTo seals values, of which there is one at least, to a public key with one fresh encapsulation, and wipes its
// copies of them. The encapsulated key is returned with its reference.
func sealTo(suite sealed.Suite, public []byte, id string, values map[string]string) (
	ref string, enc []byte, set map[string]store.Value, err error,
) {
	key, err := sealed.NewPublicKey(suite, public)
	if err != nil {
		return "", nil, nil, fmt.Errorf("vault: %w", err)
	}
	plain := make(map[string][]byte, len(values))
	for name, v := range values {
		plain[name] = []byte(v)
	}
	w, err := sealed.SealRefs(suite, key, id, plain)
	for _, v := range plain {
		clear(v)
	}
	if err != nil {
		return "", nil, nil, fmt.Errorf("vault: %w", err)
	}
	set = make(map[string]store.Value, len(w.Fields))
	for name, blob := range w.Fields {
		set[name] = store.Value{Blob: blob}
	}
	sum := sealed.RefOf(w.Enc)
	return hex.EncodeToString(sum[:]), w.Enc, set, nil
}
