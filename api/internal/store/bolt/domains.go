//go:build !wasip1

package bolt

import (
	"context"
	"encoding/binary"

	"github.com/fxamacker/cbor/v2"
	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// bucketDomains holds the generations of domains, by id, a zero byte and the generation.
var bucketDomains = []byte("domains")

type domainForm struct {
	Record   []byte `cbor:"1,keyasint"`
	MAC      []byte `cbor:"2,keyasint"`
	State    string `cbor:"3,keyasint"`
	Revision int64  `cbor:"4,keyasint"`
}

func domainKey(id string, generation uint16) []byte {
	return binary.BigEndian.AppendUint16(append([]byte(id), 0), generation)
}

func decodeDomain(key, data []byte) (*store.Domain, error) {
	var f domainForm
	const tail = 3 // zero byte and generation
	if len(key) <= tail || cbor.Unmarshal(data, &f) != nil {
		return nil, damaged("a domain cannot be read")
	}
	return &store.Domain{
		ID: string(key[:len(key)-tail]), Generation: binary.BigEndian.Uint16(key[len(key)-2:]),
		Record: f.Record, MAC: f.MAC, State: f.State, Revision: f.Revision,
	}, nil
}

func putDomain(tx *bbolt.Tx, d *store.Domain, revision int64) error {
	data, err := cbor.Marshal(domainForm{d.Record, d.MAC, d.State, revision})
	if err != nil {
		return wrap(err)
	}
	return wrap(tx.Bucket(bucketDomains).Put(domainKey(d.ID, d.Generation), data))
}

func (s *Store) domain(tx *bbolt.Tx, id string, generation uint16) (*store.Domain, error) {
	b := tx.Bucket(bucketDomains)
	if b == nil {
		return nil, store.ErrNotFound
	}
	key := domainKey(id, generation)
	data := b.Get(key)
	if data == nil {
		return nil, store.ErrNotFound
	}
	d, err := decodeDomain(key, data)
	if err != nil {
		s.damaged.Add(1)
	}
	return d, err
}

// PutDomain implements store.Domains.
func (s *Store) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	if len(d.Record) > store.MaxDomainRecord {
		return store.ErrTooLarge
	}
	return s.update(ctx, &write{use: forMore, size: int64(len(d.Record)), apply: func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketDomains); b != nil && b.Get(domainKey(d.ID, d.Generation)) != nil {
			return store.ErrExists
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		if err := keyed(tx); err != nil {
			return err
		}
		return putDomain(tx, d, 1)
	}})
}

// UpdateDomain implements store.Domains.
func (s *Store) UpdateDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	if len(d.Record) > store.MaxDomainRecord {
		return store.ErrTooLarge
	}
	return s.update(ctx, &write{use: forMore, size: int64(len(d.Record)), removes: true, apply: func(tx *bbolt.Tx) error {
		old, err := s.domain(tx, d.ID, d.Generation)
		switch {
		case err != nil:
			return err
		case old.Revision != d.Revision:
			return store.ErrConflict
		}
		if err := putEntry(tx, e); err != nil {
			return err
		}
		return putDomain(tx, d, d.Revision+1)
	}})
}

// Domain implements store.Domains.
func (s *Store) Domain(_ context.Context, id string, generation uint16) (d *store.Domain, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		d, err = s.domain(tx, id, generation)
		return err
	})
	return d, err
}

// ListDomains implements store.Domains.
func (s *Store) ListDomains(_ context.Context, yield func(*store.Domain) error) error {
	var all []*store.Domain
	err := s.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketDomains)
		if b == nil {
			return nil
		}
		return each(b, func(k, v []byte) error {
			if d, err := decodeDomain(k, v); err == nil {
				all = append(all, d)
			} else {
				s.damaged.Add(1)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}
