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
		c := tx.Bucket(bucketAudit).Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if err := inOrder(from, k); err != nil {
				return err
			}
			from = k
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

// seekPast moves to the last key that is at or below every key with the prefix's end.
func seekPast(c *bbolt.Cursor, prefix []byte) (key, value []byte) {
	// The eight bytes after the prefix are a time, whose first byte is never 0xff.
	after := append(bytes.Clone(prefix), 0xff)
	if k, _ := c.Seek(after); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// AuditedVaults implements store.Store. The list is the state at its start of each step: entries of vaults added
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
			return inOrder(from, k)
		})
		if err != nil || !found {
			return err
		}
		if err := yield(id); err != nil {
			return err
		}
		from = append(auditPrefix(id), 0xff)
	}
}

// inOrder tells whether a key is not below the one before it, or the one that was looked for: in a damaged tree the
// reader would go round for ever. No key is the end.
func inOrder(from, key []byte) error {
	if key != nil && (len(key) == 0 || bytes.Compare(key, from) < 0) {
		return damaged("its keys are not in order")
	}
	return nil
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
