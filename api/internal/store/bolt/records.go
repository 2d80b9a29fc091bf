//go:build !wasip1

package bolt

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	data, err := encodeRecord(r)
	if err != nil {
		return err
	}
	return s.update(ctx, &write{use: forMore, size: int64(len(data)), apply: func(tx *bbolt.Tx) error {
		switch _, err := s.record(tx, r.ID); {
		case err == nil:
			return store.ErrExists
		case errors.Is(err, ErrDamaged):
			return err
		}
		if i != nil {
			if _, err := s.idempotency(tx, i.Key); err == nil {
				return store.ErrExists
			}
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if err := putIdempotency(tx, i); err != nil {
			return err
		}
		return putRecord(tx, r.ID, data, 0, r.ExpireAt)
	}})
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, id string) (*store.Record, error) {
	var r *store.Record
	err := s.view(func(tx *bbolt.Tx) (err error) {
		r, err = s.record(tx, id)
		return err
	})
	return r, err
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	w := &write{use: forMore, removes: true}
	for _, v := range u.Set {
		w.size += int64(len(v.Blob))
	}
	if len(u.Set) == 0 && u.ExpireAt == nil {
		w.use = forRemoval
	}
	w.apply = func(tx *bbolt.Tx) error {
		r, err := s.atRevision(tx, u.ID, u.Revision)
		if err != nil {
			return err
		}
		old := r.ExpireAt
		if u.Encoding != 0 {
			r.Encoding = u.Encoding
		}
		if u.ExpireAt != nil {
			r.ExpireAt = *u.ExpireAt
		}
		if u.Own != nil {
			r.Own = *u.Own
		}
		if u.Keyed != (r.Domain != nil) {
			return store.ErrConflict
		}
		if err := changeEncs(r, u); err != nil {
			return err
		}
		r.Modified = u.Modified
		maps.Copy(r.Fields, u.Set)
		for _, n := range u.Remove {
			delete(r.Fields, n)
		}
		data, err := encodeRecord(r)
		if err != nil {
			return err
		}
		var keys *store.Keys
		if u.Keyed && u.ExpireAt != nil {
			if keys, err = s.keyItem(tx, u.ID); err != nil || keys.Erased != 0 {
				return store.ErrConflict // brought back without its keys
			}
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if keys != nil {
			keys.ExpireAt = r.ExpireAt
			if err := changeKeys(tx, keys); err != nil {
				return err
			}
		}
		return putRecord(tx, u.ID, data, old, r.ExpireAt)
	}
	return s.update(ctx, w)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	return s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		r, err := s.atRevision(tx, id, revision)
		if err != nil {
			return err
		}
		if r.Domain != nil {
			return store.ErrKeyed
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		return removeRecord(tx, r)
	}})
}

// removeRecord removes a record, and it from the index of expiry.
func removeRecord(tx *bbolt.Tx, r *store.Record) error {
	if r.ExpireAt != 0 {
		if err := tx.Bucket(bucketExpiry).Delete(expiryKey(r.ExpireAt, expireRecord, r.ID)); err != nil {
			return wrap(err)
		}
	}
	return wrap(tx.Bucket(bucketRecords).Delete([]byte(r.ID)))
}

// changeEncs adds and drops the encapsulated keys of an update.
func changeEncs(r *store.Record, u *store.Update) error {
	for ref := range u.AddEncs {
		if _, there := r.Encs[ref]; there {
			return store.ErrExists
		}
	}
	for _, ref := range u.DropEncs {
		delete(r.Encs, ref)
	}
	if len(u.AddEncs) > 0 && r.Encs == nil {
		r.Encs = map[string][]byte{}
	}
	maps.Copy(r.Encs, u.AddEncs)
	return nil
}

// List implements store.Store. It orders by id, so that new records come last.
func (s *Store) List(_ context.Context, p store.Page) ([]store.Summary, string, error) {
	from, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return nil, "", store.ErrCursor
	}
	var out []store.Summary
	next := ""
	err = s.view(func(tx *bbolt.Tx) error {
		c, seen := tx.Bucket(bucketRecords).Cursor(), order{last: from}
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if err := seen.next(k); err != nil {
				return err
			}
			if len(out) == p.Size() {
				next = base64.RawURLEncoding.EncodeToString(k)
				return nil
			}
			r, err := decodeRecord(string(k), v)
			if err != nil {
				s.damaged.Add(1)
				continue
			}
			if !r.Expired(s.now()) {
				out = append(out, store.Summary{ID: r.ID, Created: r.Created, Modified: r.Modified, ExpireAt: r.ExpireAt})
			}
		}
		return nil
	})
	return out, next, err
}

func (s *Store) record(tx *bbolt.Tx, id string) (*store.Record, error) {
	data := tx.Bucket(bucketRecords).Get([]byte(id))
	if data == nil {
		return nil, store.ErrNotFound
	}
	r, err := decodeRecord(id, data)
	if err != nil {
		s.damaged.Add(1)
		return nil, err
	}
	if r.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return r, nil
}

func (s *Store) atRevision(tx *bbolt.Tx, id string, revision int64) (*store.Record, error) {
	r, err := s.record(tx, id)
	if err != nil {
		return nil, err
	}
	if r.Modified != revision {
		return nil, store.ErrConflict
	}
	return r, nil
}

func putRecord(tx *bbolt.Tx, id string, data []byte, oldExpiry, newExpiry int64) error {
	b := tx.Bucket(bucketExpiry)
	if oldExpiry != 0 && oldExpiry != newExpiry {
		if err := b.Delete(expiryKey(oldExpiry, expireRecord, id)); err != nil {
			return wrap(err)
		}
	}
	if newExpiry != 0 {
		if err := b.Put(expiryKey(newExpiry, expireRecord, id), nil); err != nil {
			return wrap(err)
		}
	}
	return wrap(tx.Bucket(bucketRecords).Put([]byte(id), data))
}
