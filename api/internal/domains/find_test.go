package domains

import (
	"context"
	"errors"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// looks counts the looks through all domains.
type looks struct {
	store.Domains
	n int
}

func (l *looks) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	l.n++
	return l.Domains.ListDomains(ctx, yield)
}

func hashOf(t *testing.T, record []byte) domain.Hash {
	t.Helper()
	r, _, err := domain.ParseRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	return domain.Sum(r.Descriptor)
}

func TestADomainIsFoundByItsDescriptor(t *testing.T) {
	r, s, keys := newRegistry(t)
	counted := &looks{Domains: s}
	r.store = counted
	now := time.Now()
	r.finder.now = func() time.Time { return now }
	first, second := made(t, "acme", 1, "arn:a"), made(t, "acme", 2, "arn:a")
	other := New(s, keys) // another process adds them
	if _, err := other.Add(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if d, err := r.ByHash(t.Context(), hashOf(t, first)); err != nil || d.Descriptor.Generation != 1 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if counted.n != 1 {
		t.Errorf("%d looks through all domains", counted.n)
	}
	// A descriptor that is not there costs one look in a second, and is found once it is.
	if _, err := other.Add(t.Context(), second, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := r.ByHash(t.Context(), hashOf(t, second)); !errors.Is(err, ErrUnknown) {
			t.Fatalf("before the next look: %v", err)
		}
	}
	now = now.Add(lookEvery)
	if _, err := r.ByHash(t.Context(), hashOf(t, second)); err != nil || counted.n != 2 {
		t.Errorf("after %d looks: %v", counted.n, err)
	}
}

func TestARecordIsHandedOverAsItIsStored(t *testing.T) {
	r, _, _ := newRegistry(t)
	one := made(t, "acme", 1, "arn:a")
	d, err := r.Add(t.Context(), one, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ByHash(t.Context(), d.Hash); err != nil {
		t.Fatal(err)
	}
	more := *d.Record
	more.Wraps = append(more.Wraps, domain.Wrap{ARN: "arn:b", DataKey: []byte("blob")})
	two := encoded(t, &more)
	if err := r.AddWrap(t.Context(), d, two, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Record(t.Context(), d.Hash); err != nil || string(got) != string(two) {
		t.Errorf("not the record with both wraps: %v", err)
	}
}

func TestADomainThatNobodyAddedIsNotBelieved(t *testing.T) {
	r, s, _ := newRegistry(t)
	planted := made(t, "acme", 1, "arn:a")
	if err := s.PutDomain(t.Context(), &store.Domain{
		ID: "acme", Generation: 1, Record: planted, MAC: []byte("none"), State: StateActive,
	}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ByHash(t.Context(), hashOf(t, planted)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("planted: %v", err)
	}
	if _, err := r.Record(t.Context(), hashOf(t, planted)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("its record: %v", err)
	}
}
