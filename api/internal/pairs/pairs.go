// Package pairs finds out, for operators, which records under domains and which keys of vaults belong together.
//
// Records and keys are in two places, of which a restore may bring back one alone, or both of two times. A record opens
// if its vault's key item has the record's epoch, its public key is the one whose hash the wrapped key carries, and the
// domain that the record names is there and made the key. All of that is checked without any secret, and without KMS.
// So whether an enclave may open the domain is not known, and neither is whether a domain is one that this API
// believes: its MAC is not verified. Records with keys of KMS's have nothing to be compared with.
//
// Limits: a record whose key item is of a later time belongs to it as long as its epoch is there. A store that changes
// meanwhile is read as it is at each record. A record that cannot be read is counted by the store.
package pairs

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// Kind says why a record and its keys do not belong together.
type Kind string

// Kinds of problems.
const (
	NoKeys     Kind = "no_keys"     // the vault has no keys
	NoEpoch    Kind = "no_epoch"    // its keys lack the record's epoch
	Erased     Kind = "erased"      // its keys were erased, and the record was brought back
	KeyChanged Kind = "key_changed" // the public key is not the one that the wrapped key names
	NoDomain   Kind = "no_domain"   // the record's domain is not in the store
	Unstated   Kind = "unstated"    // the domain did not make the key for this vault
	Unreadable Kind = "unreadable"  // the record or its keys cannot be read
)

// reasons says what to do about each kind.
var reasons = map[Kind]string{
	NoKeys:     "it has no keys: restore the keys of the records' time or later",
	NoEpoch:    "its keys lack the record's epoch: restore the keys of the records' time",
	Erased:     "its keys were erased: remove the record",
	KeyChanged: "its public key is not the one that its wrapped key names: restore the keys",
	NoDomain:   "its domain is not in the store: api domain import",
	Unstated:   "its domain did not make its key: restore the keys, and find who wrote them",
	Unreadable: "record or keys cannot be read: take them from a backup",
}

// Problem is a record that does not open.
type Problem struct {
	VaultID string `json:"vault"`
	Kind    Kind   `json:"kind"`
	Epoch   uint16 `json:"epoch,omitempty"`
}

// String is a line for an operator.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s (%s)", p.VaultID, reasons[p.Kind], p.Kind)
}

// Report is what was found.
type Report struct {
	Records  int       `json:"records"` // of both kinds
	Keyed    int       `json:"keyed"`   // records under domains
	Domains  int       `json:"domains"` // generations
	Problems []Problem `json:"problems"`
}

// readers is how many records are read at the same time.
const readers = 16

// Check looks at every record of s. Errors are the store's: what was found until then is not all.
func Check(ctx context.Context, s store.Store) (*Report, error) {
	c := checker{store: s, domains: map[domain.Hash]*domain.Descriptor{}, report: Report{Problems: []Problem{}}}
	err := s.ListDomains(ctx, c.learn)
	if err != nil && !errors.Is(err, store.ErrNoDomains) {
		return nil, err
	}
	for page := (store.Page{Limit: store.MaxPage}); ; {
		list, next, err := s.List(ctx, page)
		if err != nil {
			return nil, err
		}
		if err := c.all(ctx, list); err != nil {
			return nil, err
		}
		if page.Cursor = next; next == "" {
			slices.SortFunc(c.report.Problems, func(a, b Problem) int { return strings.Compare(a.VaultID, b.VaultID) })
			return &c.report, nil
		}
	}
}

type checker struct {
	store   store.Store
	domains map[domain.Hash]*domain.Descriptor

	mu     sync.Mutex
	report Report
}

func (c *checker) learn(d *store.Domain) error {
	record, descriptor, err := domain.ParseRecord(d.Record)
	if err != nil || descriptor.ID != d.ID || descriptor.Generation != d.Generation {
		return nil //nolint:nilerr // its vaults are then without a domain
	}
	c.report.Domains++
	c.domains[domain.Sum(record.Descriptor)] = descriptor
	return nil
}

func (c *checker) all(ctx context.Context, list []store.Summary) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, line := range list {
		g.Go(func() error { return c.one(ctx, line.ID) })
	}
	return g.Wait()
}

// one checks a vault.
func (c *checker) one(ctx context.Context, id string) error {
	r, err := c.store.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // removed meanwhile
	case errors.Is(err, store.ErrDamaged):
		c.found(0, &Problem{VaultID: id, Kind: Unreadable})
		return nil
	case err != nil:
		return err
	case r.Domain == nil:
		c.found(0, nil)
		return nil
	}
	k, err := c.store.Keys(ctx, id)
	var kind Kind
	switch {
	case errors.Is(err, store.ErrNotFound):
		kind = NoKeys
	case errors.Is(err, store.ErrDamaged):
		kind = Unreadable
	case err != nil:
		return err
	default:
		kind = c.judge(r, k)
	}
	if kind == "" {
		c.found(1, nil)
		return nil
	}
	// A write may have come between the two reads.
	again, err := c.store.Get(ctx, id)
	if err == nil && again.Modified != r.Modified {
		return c.one(ctx, id)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	c.found(1, &Problem{VaultID: id, Kind: kind, Epoch: r.Epoch})
	return nil
}

// found counts a record, and the problem that it has, if any.
func (c *checker) found(keyed int, p *Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Records++
	c.report.Keyed += keyed
	if p != nil {
		c.report.Problems = append(c.report.Problems, *p)
	}
}

// judge compares a record with its keys.
func (c *checker) judge(r *store.Record, k *store.Keys) Kind {
	if k.Erased != 0 {
		return Erased
	}
	e := k.Epoch(r.Epoch)
	if e == nil {
		return NoEpoch
	}
	head, err := domain.ParseHead(e.WrappedKey)
	sum := sha512.Sum384(e.PublicKey)
	if err != nil || !bytes.Equal(sum[:len(head.Public)], head.Public[:]) {
		return KeyChanged
	}
	if len(r.Domain) != domain.HashSize {
		return NoDomain
	}
	d := c.domains[domain.Hash(r.Domain)]
	if d == nil {
		return NoDomain
	}
	if !c.states(d, r, e) {
		return Unstated
	}
	return ""
}

// states reports whether the domain states that it made the key for the vault, be it at first or by a reseal.
func (c *checker) states(d *domain.Descriptor, r *store.Record, e *store.Epoch) bool {
	if len(e.Statement) != domain.SignatureSize {
		return false
	}
	for _, kind := range []domain.Kind{domain.Made, domain.Moved} {
		statement := [domain.SignatureSize]byte(e.Statement)
		if d.VerifyKey(domain.Hash(r.Domain), kind, r.ID, e.WrappedKey, e.PublicKey, statement) == nil {
			return true
		}
	}
	return false
}
