package domains

import (
	"context"
	"errors"
	"sync"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// ErrUnknown reports a descriptor that no stored domain has.
var ErrUnknown = errors.New("domains: no such domain is stored; was its record lost? restore it from a backup")

// lookEvery is the least time between two looks through all domains for a descriptor that was not among them. So a
// store full of records that name domains which do not exist costs one look in that time.
const lookEvery = time.Second

// place is where a generation of a domain is stored.
type place struct {
	id         string
	generation uint16
}

// finder finds domains by the hash of their descriptor. Descriptors never change, so what was found stays found.
type finder struct {
	now func() time.Time

	mu     sync.Mutex
	places map[domain.Hash]place
	found  map[domain.Hash]*Domain
	looked time.Time
}

// ByHash returns the domain that has a descriptor of this hash, as it was when it was first asked for: its wraps may
// be older than those that are stored. ErrUnknown, ErrUntrusted.
func (r *Registry) ByHash(ctx context.Context, h domain.Hash) (*Domain, error) {
	r.finder.mu.Lock()
	d := r.finder.found[h]
	r.finder.mu.Unlock()
	if d != nil {
		return d, nil
	}
	return r.Stored(ctx, h)
}

// Record returns the stored record of the domain that has a descriptor of this hash. Errors as of ByHash.
func (r *Registry) Record(ctx context.Context, h domain.Hash) ([]byte, error) {
	d, err := r.Stored(ctx, h)
	if err != nil {
		return nil, err
	}
	return d.Encoded, nil
}

// Stored is ByHash that reads the domain from the store, with all its wraps.
func (r *Registry) Stored(ctx context.Context, h domain.Hash) (*Domain, error) {
	at, err := r.locate(ctx, h)
	if err != nil {
		return nil, err
	}
	d, err := r.Get(ctx, at.id, at.generation)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	case d.Hash != h:
		return nil, ErrUntrusted // put in the place of another
	}
	return d, nil
}

// remember keeps a domain that was read and is believed.
func (f *finder) remember(d *Domain) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found[d.Hash] = d
	f.places[d.Hash] = place{d.Descriptor.ID, d.Descriptor.Generation}
}

// locate says where the domain with that descriptor is stored. mu is held while all domains are looked through, since
// others that ask meanwhile need the same.
func (r *Registry) locate(ctx context.Context, h domain.Hash) (place, error) {
	f := &r.finder
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.places[h]; ok {
		return at, nil
	}
	now := f.now()
	if !f.looked.IsZero() && now.Sub(f.looked) < lookEvery {
		return place{}, ErrUnknown
	}
	err := r.store.ListDomains(ctx, func(d *store.Domain) error {
		// A record under the name of another is nobody's, so that it hides none.
		if parsed, described, err := domain.ParseRecord(d.Record); err == nil &&
			described.ID == d.ID && described.Generation == d.Generation {
			f.places[domain.Sum(parsed.Descriptor)] = place{d.ID, d.Generation}
		}
		return nil
	})
	if err != nil {
		return place{}, err
	}
	f.looked = now
	if at, ok := f.places[h]; ok {
		return at, nil
	}
	return place{}, ErrUnknown
}
