//go:build !wasip1

package bolt

import (
	"context"

	"github.com/fxamacker/cbor/v2"
	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// bucketCheckpoints holds the audit log's checkpoints, by writer. A store of an earlier release has none.
var bucketCheckpoints = []byte("checkpoints")

type checkpointForm struct {
	Number uint64 `cbor:"1,keyasint"`
	Body   []byte `cbor:"2,keyasint"`
	MAC    []byte `cbor:"3,keyasint"`
}

// PutCheckpoint implements store.Store.
func (s *Store) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	data, err := cbor.Marshal(checkpointForm{c.Number, c.Body, c.MAC})
	if err != nil {
		return wrap(err)
	}
	return s.update(ctx, &write{use: forAudit, size: int64(len(data)), apply: func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketCheckpoints)
		if err != nil {
			return wrap(err)
		}
		var old checkpointForm
		if was := b.Get([]byte(c.Writer)); was != nil && cbor.Unmarshal(was, &old) == nil && old.Number > c.Number {
			return store.ErrConflict
		}
		return wrap(b.Put([]byte(c.Writer), data))
	}})
}

// Checkpoints implements store.Store. A checkpoint that cannot be read has neither body nor MAC.
func (s *Store) Checkpoints(_ context.Context, yield func(*store.Checkpoint) error) error {
	var all []store.Checkpoint
	err := s.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketCheckpoints)
		if b == nil {
			return nil
		}
		return each(b, func(k, v []byte) error {
			var f checkpointForm
			if cbor.Unmarshal(v, &f) != nil {
				s.damaged.Add(1)
				f = checkpointForm{}
			}
			all = append(all, store.Checkpoint{Writer: string(k), Number: f.Number, Body: f.Body, MAC: f.MAC})
			return nil
		})
	})
	if err != nil {
		return err
	}
	for i := range all {
		if err := yield(&all[i]); err != nil {
			return err
		}
	}
	return nil
}
