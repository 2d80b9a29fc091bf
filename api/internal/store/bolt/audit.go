//go:build !wasip1

package bolt

import (
	"bytes"
	"context"
	"encoding/base64"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// AppendAudit implements store.Store.
func (s *Store) AppendAudit(ctx context.Context, e *store.Entry) error {
	return s.update(ctx, &write{use: forAudit, apply: func(tx *bbolt.Tx) error { return putEntry(tx, e) }})
}

// Audit implements store.Store.
func (s *Store) Audit(_ context.Context, vaultID string, p store.Page) ([]store.Entry, string, error) {
	prefix := auditPrefix(vaultID)
	from := prefix
	if p.Cursor != "" {
		key, err := base64.RawURLEncoding.DecodeString(p.Cursor)
		if err != nil || !bytes.HasPrefix(key, prefix) {
			return nil, "", store.ErrCursor
		}
		from = key
	}
	var out []store.Entry
	next := ""
	err := s.view(func(tx *bbolt.Tx) error {
		c, seen := tx.Bucket(bucketAudit).Cursor(), order{last: from}
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if err := seen.next(k); err != nil {
				return err
			}
			if len(out) == p.Size() {
				next = base64.RawURLEncoding.EncodeToString(k)
				return nil
			}
			e, err := decodeEntry(vaultID, k, v)
			if err != nil {
				s.damaged.Add(1)
			}
			out = append(out, e)
		}
		return nil
	})
	return out, next, err
}

// LastAudit implements store.Store.
func (s *Store) LastAudit(_ context.Context, vaultID string) (*store.Entry, error) {
	prefix := auditPrefix(vaultID)
	var last store.Entry
	err := s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketAudit).Cursor()
		k, v := seekPast(c, prefix)
		if k == nil || !bytes.HasPrefix(k, prefix) {
			return store.ErrNotFound
		}
		var err error
		if last, err = decodeEntry(vaultID, k, v); err != nil {
			s.damaged.Add(1) // a chain may begin after it all the same
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &last, nil
}

// seekPast moves to the last key that lies below all keys above the prefix.
func seekPast(c *bbolt.Cursor, prefix []byte) (key, value []byte) {
	after := past(prefix)
	if after == nil {
		return c.Last()
	}
	if k, _ := c.Seek(after); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// AuditedVaults implements store.Store. Each step lists the state at its start: entries of vaults that are added
// meanwhile may be left out.
func (s *Store) AuditedVaults(ctx context.Context, yield func(string) error) error {
	var from []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, found := "", false
		err := s.view(func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket(bucketAudit).Cursor().Seek(from)
			id, found = auditVault(k)
			seen := order{last: from}
			return seen.next(k)
		})
		if err != nil || !found {
			return err
		}
		if err := yield(id); err != nil {
			return err
		}
		if from = past(auditPrefix(id)); from == nil {
			return nil
		}
	}
}

// past is the first key above all that begin with the prefix, whatever a damaged key has after it. It is nil if there
// is none.
func past(prefix []byte) []byte {
	out := bytes.TrimRight(prefix, "\xff")
	if len(out) == 0 {
		return nil
	}
	out = bytes.Clone(out)
	out[len(out)-1]++
	return out
}

var errOrder = damaged("its keys are not in order")

// order is a reader's place in a bucket: first the key that it looked for, then the last key that it read. It keeps a
// reader of a damaged tree from going round for ever.
type order struct {
	last []byte
	read bool
}

// next takes the next key, which must be above the last one. The first key may be the one that was looked for. No key
// means the end.
func (o *order) next(key []byte) error {
	above := bytes.Compare(key, o.last)
	if key != nil && (len(key) == 0 || above < 0 || above == 0 && o.read) {
		return errOrder
	}
	o.last, o.read = key, true
	return nil
}

// each calls fn with every key and value of a bucket.
func each(b *bbolt.Bucket, fn func(k, v []byte) error) error {
	var seen order
	return b.ForEach(func(k, v []byte) error {
		if err := seen.next(k); err != nil {
			return err
		}
		return fn(k, v)
	})
}

func putEntry(tx *bbolt.Tx, e *store.Entry) error {
	if e == nil {
		return nil
	}
	b := tx.Bucket(bucketAudit)
	key := auditKey(e)
	if b.Get(key) != nil {
		return store.ErrExists
	}
	data, err := encodeEntry(e)
	if err != nil {
		return err
	}
	return wrap(b.Put(key, data))
}
