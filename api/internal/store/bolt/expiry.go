package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// Idempotency implements store.Store.
func (s *Store) Idempotency(_ context.Context, key string) (*store.Idempotency, error) {
	var i *store.Idempotency
	err := s.view(func(tx *bbolt.Tx) (err error) {
		i, err = s.idempotency(tx, key)
		return err
	})
	return i, err
}

func (s *Store) idempotency(tx *bbolt.Tx, key string) (*store.Idempotency, error) {
	data := tx.Bucket(bucketIdem).Get([]byte(key))
	if data == nil {
		return nil, store.ErrNotFound
	}
	var f idemForm
	if err := cbor.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("bolt: idempotency item: %w", err)
	}
	if f.ExpireAt <= s.now().Unix() {
		return nil, store.ErrNotFound
	}
	return &store.Idempotency{Key: key, MAC: f.MAC, VaultID: f.VaultID, ExpireAt: f.ExpireAt}, nil
}

func putIdempotency(tx *bbolt.Tx, i *store.Idempotency) error {
	if i == nil {
		return nil
	}
	data, err := cbor.Marshal(idemForm{MAC: i.MAC, VaultID: i.VaultID, ExpireAt: i.ExpireAt})
	if err != nil {
		return wrap(err)
	}
	if err := tx.Bucket(bucketExpiry).Put(expiryKey(i.ExpireAt, expireIdem, i.Key), nil); err != nil {
		return wrap(err)
	}
	return wrap(tx.Bucket(bucketIdem).Put([]byte(i.Key), data))
}

// sweep removes what has expired, once a minute, a bounded number at a time.
func (s *Store) sweep(ctx context.Context) {
	defer s.done.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			for s.sweepOnce(ctx) == sweepBatch {
				select {
				case <-s.stop:
					return
				default:
				}
			}
		}
	}
}

// sweepOnce removes up to sweepBatch expired items and says how many it removed.
func (s *Store) sweepOnce(ctx context.Context) int {
	removed := 0
	// An error is met again by the next sweep; reads treat what is expired as absent all the same.
	_ = s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		removed = 0
		limit := s.now().Unix()
		b := tx.Bucket(bucketExpiry)
		for removed < sweepBatch {
			k, _ := b.Cursor().First()
			if len(k) < 9 || int64(binary.BigEndian.Uint64(k)) > limit {
				return nil
			}
			bucket := bucketRecords
			if k[8] == expireIdem {
				bucket = bucketIdem
			}
			// The item may have been written anew under the same key with a later expiry.
			if expired(tx, bucket, k[9:], limit) {
				if err := tx.Bucket(bucket).Delete(k[9:]); err != nil {
					return wrap(err)
				}
			}
			if err := b.Delete(k); err != nil {
				return wrap(err)
			}
			removed++
		}
		return nil
	}})
	return removed
}

func expired(tx *bbolt.Tx, bucket, key []byte, limit int64) bool {
	data := tx.Bucket(bucket).Get(key)
	if data == nil {
		return false
	}
	if string(bucket) == string(bucketIdem) {
		var f idemForm
		return cbor.Unmarshal(data, &f) == nil && f.ExpireAt <= limit
	}
	var f recordForm
	return cbor.Unmarshal(data, &f) == nil && f.ExpireAt != 0 && f.ExpireAt <= limit
}
