//go:build !wasip1

package bolt

import (
	"context"

	"github.com/fxamacker/cbor/v2"
	bbolt "go.etcd.io/bbolt"
)

// Inspection is the result of [Store.Inspect].
type Inspection struct {
	Records int      `json:"records"`
	Entries int      `json:"audit_entries"`
	Damaged []string `json:"damaged"` // what cannot be read, one sentence each
}

// Inspect reads every record and audit entry. No process may write to the store: Inspect keeps the file's pages as
// they are until it ends. Its error is one of reading the file.
func (s *Store) Inspect(ctx context.Context) (*Inspection, error) {
	out := &Inspection{Damaged: []string{}}
	err := s.view(func(tx *bbolt.Tx) error {
		err := each(tx.Bucket(bucketRecords), func(k, v []byte) error {
			_, err := decodeRecord(string(k), v)
			out.note(err)
			out.Records++
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		err = each(tx.Bucket(bucketAudit), func(k, v []byte) error {
			id, ok := auditVault(k)
			if !ok {
				out.note(damaged("an audit entry of no vault"))
			} else if _, err := decodeEntry(id, k, v); err != nil {
				out.note(err)
			}
			out.Entries++
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		if err := inspectKeyed(ctx, tx, out); err != nil {
			return err
		}
		return each(tx.Bucket(bucketIdem), func(_, v []byte) error {
			if cbor.Unmarshal(v, &idemForm{}) != nil {
				out.note(damaged("an idempotency item cannot be read"))
			}
			return ctx.Err()
		})
	})
	return out, err
}

// inspectKeyed reads keys and domains, if the store has any.
func inspectKeyed(ctx context.Context, tx *bbolt.Tx, out *Inspection) error {
	if b := tx.Bucket(bucketKeys); b != nil {
		err := each(b, func(k, v []byte) error {
			_, err := decodeKeys(string(k), v)
			out.note(err)
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	b := tx.Bucket(bucketDomains)
	if b == nil {
		return nil
	}
	return each(b, func(k, v []byte) error {
		_, err := decodeDomain(k, v)
		out.note(err)
		return ctx.Err()
	})
}

func (i *Inspection) note(err error) {
	if err != nil {
		i.Damaged = append(i.Damaged, err.Error())
	}
}
