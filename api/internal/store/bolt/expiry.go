//go:build !wasip1

package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
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

// Expiry begins the audit entry of a vault whose time to live has passed. The store keeps the entry together with the
// removal, in one transaction, and tells done how that ended. After an error the vault stays until the next sweep.
type Expiry func(ctx context.Context, vaultID string) (e *store.Entry, done func(error), err error)

// Sweep begins to remove expired items, a bounded number at a time. Call it at most once. Until it is called, expired
// items are absent to every reader, but not removed.
func (s *Store) Sweep(begin Expiry) {
	s.done.Add(1)
	go s.sweep(begin)
}

func (s *Store) sweep(begin Expiry) {
	defer s.done.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(s.sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			for ctx.Err() == nil && s.sweepOnce(ctx, begin) == sweepBatch {
				continue
			}
		}
	}
}

// sweepOnce removes up to sweepBatch expired items and returns how many it removed. The next sweep meets an error
// again. To readers expired items are absent all the same.
func (s *Store) sweepOnce(ctx context.Context, begin Expiry) int {
	limit := s.now().Unix()
	records, others, err := s.due(limit)
	if err != nil {
		return 0
	}
	var removed atomic.Int64
	if len(others) > 0 && s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		return removeOthers(tx, others, limit)
	}}) == nil {
		removed.Add(int64(len(others)))
	}
	var working sync.WaitGroup
	slots := make(chan struct{}, sweepers)
	for _, key := range records {
		slots <- struct{}{}
		working.Go(func() {
			defer func() { <-slots }()
			if s.expire(ctx, key, limit, begin) == nil {
				removed.Add(1)
			}
		})
	}
	working.Wait()
	return int(removed.Load())
}

// due lists up to sweepBatch keys of the index of expiry whose time has come. records are those of expired records.
// others are those of idempotency items, and of records that were written anew with a later time or none.
func (s *Store) due(limit int64) (records, others [][]byte, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketExpiry).Cursor()
		for k, _ := c.First(); len(k) >= 9 && int64(binary.BigEndian.Uint64(k)) <= limit; k, _ = c.Next() {
			key := bytes.Clone(k)
			if k[8] == expireRecord && expired(tx, bucketRecords, k[9:], limit) {
				records = append(records, key)
			} else {
				others = append(others, key)
			}
			if len(records)+len(others) == sweepBatch {
				break
			}
		}
		return nil
	})
	return records, others, err
}

func removeOthers(tx *bbolt.Tx, keys [][]byte, limit int64) error {
	for _, k := range keys {
		if k[8] == expireRecord && expired(tx, bucketRecords, k[9:], limit) {
			continue // it has become a record with this time meanwhile: the next sweep removes it
		}
		if k[8] == expireIdem && expired(tx, bucketIdem, k[9:], limit) {
			if err := tx.Bucket(bucketIdem).Delete(k[9:]); err != nil {
				return wrap(err)
			}
		}
		if err := tx.Bucket(bucketExpiry).Delete(k); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// expire removes one record, together with its entry in the audit log.
func (s *Store) expire(ctx context.Context, key []byte, limit int64, begin Expiry) (err error) {
	id := key[9:]
	e, done, err := begin(ctx, string(id))
	if err != nil {
		return err
	}
	defer func() { done(err) }()
	return s.update(ctx, &write{use: forRemoval, removes: true, apply: func(tx *bbolt.Tx) error {
		if !expired(tx, bucketRecords, id, limit) {
			return store.ErrConflict // it was removed, or has got more time
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if err := tx.Bucket(bucketExpiry).Delete(key); err != nil {
			return wrap(err)
		}
		if err := expireKeys(tx, id); err != nil {
			return err
		}
		return wrap(tx.Bucket(bucketRecords).Delete(id))
	}})
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
