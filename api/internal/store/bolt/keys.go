//go:build !wasip1

package bolt

import (
	"context"
	"errors"

	"github.com/fxamacker/cbor/v2"
	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// bucketKeys holds the key items of vaults under domains, by vault id. A store has it from the first such vault on.
var bucketKeys = []byte("keys")

type (
	keysForm struct {
		Epochs   []epochForm `cbor:"1,keyasint,omitempty"`
		Revision int64       `cbor:"2,keyasint"`
		ExpireAt int64       `cbor:"3,keyasint,omitempty"`
		Erased   int64       `cbor:"4,keyasint,omitempty"`
		Digests  [][]byte    `cbor:"5,keyasint,omitempty"`
	}
	epochForm struct {
		WrappedKey []byte `cbor:"1,keyasint"`
		PublicKey  []byte `cbor:"2,keyasint"`
		Statement  []byte `cbor:"3,keyasint"`
		Suite      []byte `cbor:"4,keyasint"`
		Created    int64  `cbor:"5,keyasint"`
	}
)

func decodeKeys(id string, data []byte) (*store.Keys, error) {
	var f keysForm
	if err := cbor.Unmarshal(data, &f); err != nil {
		return nil, damaged("the keys of %s cannot be read", id)
	}
	k := &store.Keys{VaultID: id, Revision: f.Revision, ExpireAt: f.ExpireAt, Erased: f.Erased, Digests: f.Digests}
	for _, e := range f.Epochs {
		k.Epochs = append(k.Epochs, store.Epoch(e))
	}
	return k, nil
}

// changeKeys stores the next revision of a key item.
func changeKeys(tx *bbolt.Tx, k *store.Keys) error {
	f := keysForm{Revision: k.Revision + 1, ExpireAt: k.ExpireAt, Erased: k.Erased, Digests: k.Digests}
	for _, e := range k.Epochs {
		f.Epochs = append(f.Epochs, epochForm(e))
	}
	data, err := cbor.Marshal(f)
	if err != nil {
		return wrap(err)
	}
	return wrap(tx.Bucket(bucketKeys).Put([]byte(k.VaultID), data))
}

// keyed makes the file one that holds keys and domains. Earlier releases refuse such a file.
func keyed(tx *bbolt.Tx) error {
	if string(tx.Bucket(bucketMeta).Get(keyFormat)) == formatKeyed {
		return nil
	}
	for _, name := range [][]byte{bucketKeys, bucketDomains} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return wrap(err)
		}
	}
	return wrap(tx.Bucket(bucketMeta).Put(keyFormat, []byte(formatKeyed)))
}

// keyItem reads a key item, expired or not.
func (s *Store) keyItem(tx *bbolt.Tx, id string) (*store.Keys, error) {
	b := tx.Bucket(bucketKeys)
	if b == nil {
		return nil, store.ErrNotFound
	}
	data := b.Get([]byte(id))
	if data == nil {
		return nil, store.ErrNotFound
	}
	k, err := decodeKeys(id, data)
	if err != nil {
		s.damaged.Add(1)
	}
	return k, err
}

// liveKeys reads a key item or tombstone. A key item that has expired is absent.
func (s *Store) liveKeys(tx *bbolt.Tx, id string) (*store.Keys, error) {
	k, err := s.keyItem(tx, id)
	if err == nil && k.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return k, err
}

// expireKeys removes the key item of a vault whose time to live has passed. A tombstone stays.
func expireKeys(tx *bbolt.Tx, id []byte) error {
	b := tx.Bucket(bucketKeys)
	if b == nil {
		return nil
	}
	var f keysForm
	if data := b.Get(id); data == nil || cbor.Unmarshal(data, &f) == nil && f.Erased != 0 {
		return nil
	}
	return wrap(b.Delete(id))
}

// Keys implements store.Domains.
func (s *Store) Keys(_ context.Context, id string) (*store.Keys, error) {
	var k *store.Keys
	err := s.view(func(tx *bbolt.Tx) (err error) {
		k, err = s.liveKeys(tx, id)
		return err
	})
	return k, err
}

// GetKeyed implements store.Domains. One transaction sees both, so there is nothing to read again.
func (s *Store) GetKeyed(_ context.Context, id string) (r *store.Record, k *store.Keys, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		var found error
		r, found = s.record(tx, id)
		if found == nil && r.Domain == nil {
			return nil
		}
		var none error
		if k, none = s.liveKeys(tx, id); none != nil && !errors.Is(none, store.ErrNotFound) {
			return none
		}
		return store.Together(r, k, found)
	})
	if errors.Is(err, store.ErrInconsistent) {
		s.inconsistent.Add(1)
	}
	if err != nil {
		return nil, nil, err
	}
	return r, k, nil
}

// Inconsistent counts how often a record was met whose key is not in its key item.
func (s *Store) Inconsistent() uint64 { return s.inconsistent.Load() }

// CreateKeyed implements store.Domains.
func (s *Store) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	if !k.Of(r) {
		return store.ErrEpochs
	}
	data, err := encodeRecord(r)
	if err != nil {
		return err
	}
	size := int64(len(data) + k.Size())
	return s.update(ctx, &write{use: forMore, size: size, removes: true, apply: func(tx *bbolt.Tx) error {
		if err := s.absent(tx, r.ID, i); err != nil {
			return err
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if err := keyed(tx); err != nil {
			return err
		}
		if err := putIdempotency(tx, i); err != nil {
			return err
		}
		err := changeKeys(tx, &store.Keys{VaultID: r.ID, Epochs: []store.Epoch{*k}, ExpireAt: r.ExpireAt})
		if err != nil {
			return err
		}
		return putRecord(tx, r.ID, data, 0, r.ExpireAt)
	}})
}

// absent reports whether there is neither record nor key nor idempotency item, nor ever was a key that was erased.
func (s *Store) absent(tx *bbolt.Tx, id string, i *store.Idempotency) error {
	switch k, err := s.liveKeys(tx, id); {
	case err == nil && k.Erased != 0:
		return store.ErrErased
	case err == nil:
		return store.ErrExists
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	switch _, err := s.record(tx, id); {
	case err == nil:
		return store.ErrExists
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if i != nil {
		if _, err := s.idempotency(tx, i.Key); err == nil {
			return store.ErrExists
		}
	}
	return nil
}

// asRead returns the record and the key item if both are as they were read. read is nil if there was no key item.
func (s *Store) asRead(
	tx *bbolt.Tx, id string, revision int64, read *store.Keys,
) (*store.Record, *store.Keys, error) {
	k, err := s.liveKeys(tx, id)
	switch {
	case err == nil && k.Erased != 0:
		return nil, nil, store.ErrErased
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, nil, err
	}
	r, err := s.atRevision(tx, id, revision)
	if err != nil {
		return nil, nil, err
	}
	if (k == nil) != (read == nil) || k != nil && k.Revision != read.Revision {
		return nil, nil, store.ErrConflict
	}
	return r, k, nil
}

// Reseal implements store.Domains.
func (s *Store) Reseal(ctx context.Context, q *store.Reseal, e *store.Entry) error {
	if !q.Key.Of(q.Record) {
		return store.ErrEpochs
	}
	data, err := encodeRecord(q.Record)
	if err != nil {
		return err
	}
	size := int64(len(data) + q.Key.Size())
	return s.update(ctx, &write{use: forMore, size: size, removes: true, apply: func(tx *bbolt.Tx) error {
		r, k, err := s.asRead(tx, q.Record.ID, q.Revision, q.Keys)
		if err != nil {
			return err
		}
		epochs, err := k.With(&q.Key, q.Drop)
		if err != nil {
			return err
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if err := keyed(tx); err != nil {
			return err
		}
		next := &store.Keys{VaultID: q.Record.ID, Epochs: epochs, ExpireAt: q.Record.ExpireAt}
		if k != nil {
			next.Revision = k.Revision
		}
		if err := changeKeys(tx, next); err != nil {
			return err
		}
		return putRecord(tx, q.Record.ID, data, r.ExpireAt, q.Record.ExpireAt)
	}})
}

// DropEpochs implements store.Domains.
func (s *Store) DropEpochs(
	ctx context.Context, id string, revision int64, read *store.Keys, drop []uint16, e *store.Entry,
) error {
	return s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		r, k, err := s.asRead(tx, id, revision, read)
		if err != nil {
			return err
		}
		if k == nil {
			return store.ErrNotFound
		}
		if k.Epochs, err = k.Without(drop); err != nil {
			return err
		}
		if k.Epoch(r.Epoch) == nil {
			return store.ErrEpochs
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		return changeKeys(tx, k)
	}})
}

// Erase implements store.Domains. About a second later nothing of the keys is in the file any more: see the package's
// doc on removals.
func (s *Store) Erase(
	ctx context.Context, id string, revision int64, read *store.Keys, at int64, e *store.Entry,
) error {
	return s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		r, k, err := s.asRead(tx, id, revision, read)
		if err != nil {
			return err
		}
		if k == nil {
			return store.ErrNotFound
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		err = changeKeys(tx, &store.Keys{VaultID: id, Revision: k.Revision, Erased: at, Digests: k.Sums()})
		if err != nil {
			return err
		}
		return removeRecord(tx, r)
	}})
}
