package domains

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// testKeys are a KMS HMAC key.
type testKeys struct {
	key      []byte
	verified atomic.Int64
	fail     error
}

func (k *testKeys) MAC(_ context.Context, message []byte) ([]byte, error) {
	m := hmac.New(sha256.New, k.key)
	_, _ = m.Write(message)
	return m.Sum(nil), k.fail
}

func (k *testKeys) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	k.verified.Add(1)
	want, err := k.MAC(ctx, message)
	return hmac.Equal(want, mac), err
}

func newRegistry(t *testing.T) (*Registry, *bolt.Store, *testKeys) {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Reserve: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	keys := &testKeys{key: []byte("key")}
	return New(s, keys), s, keys
}

// made is a domain's record as an enclave makes it, with a wrap for each ARN.
func made(t *testing.T, id string, generation uint16, arns ...string) []byte {
	t.Helper()
	ds := make([]byte, domain.SecretSize)
	_, _ = rand.Read(ds)
	described, err := domain.Describe(ds, id, generation, 1, []sealed.Suite{sealed.P384}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &domain.Record{Descriptor: described}
	for _, arn := range arns {
		w := domain.Wrap{ARN: arn, DataKey: []byte("blob of " + arn)}
		_, _ = rand.Read(w.Sealed[:])
		r.Wraps = append(r.Wraps, w)
	}
	return encoded(t, r)
}

func encoded(t *testing.T, r *domain.Record) []byte {
	t.Helper()
	out, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestADomainIsAddedOnceAndBelieved(t *testing.T) {
	r, _, keys := newRegistry(t)
	record := made(t, "acme", 1, "arn:a")
	for range 2 { // the second finds what the first put
		d, err := r.Add(t.Context(), record, nil)
		if err != nil || d.State != StateActive || !bytes.Equal(d.Encoded, record) || d.Descriptor.ID != "acme" ||
			d.Hash != domain.Sum(d.Record.Descriptor) {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if _, err := r.Add(t.Context(), made(t, "acme", 1, "arn:a"), nil); !errors.Is(err, ErrOther) {
		t.Errorf("another record: %v", err)
	}
	if d, err := r.Get(t.Context(), "acme", 1); err != nil || !bytes.Equal(d.Encoded, record) {
		t.Errorf("after all: %v", err)
	}
	if n := keys.verified.Load(); n != 1 {
		t.Errorf("KMS was asked %d times", n)
	}
	if _, err := r.Get(t.Context(), "acme", 2); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("generation 2: %v", err)
	}
	if _, err := r.Add(t.Context(), record[1:], nil); err == nil {
		t.Error("a record that does not parse was added")
	}
}

func TestOfTwoAdministratorsAtOnceOneWins(t *testing.T) {
	r, _, _ := newRegistry(t)
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		record := made(t, "acme", 1, "arn:a")
		wg.Go(func() {
			switch _, err := r.Add(t.Context(), record, nil); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrOther):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

// An attacker who writes to the store has no MAC for a domain of his own.
func TestWhatTheAPIDidNotAddIsNotBelieved(t *testing.T) {
	r, s, keys := newRegistry(t)
	good, err := r.Add(t.Context(), made(t, "acme", 1, "arn:a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	genuine := good.stored
	forged := made(t, "evil", 1, "arn:a")
	bare, err := keys.MAC(t.Context(), good.Hash[:]) // over the hash without its label
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]store.Domain{
		"no MAC":              {ID: "evil", Generation: 1, Record: forged},
		"another's MAC":       {ID: "evil", Generation: 1, Record: forged, MAC: genuine.MAC},
		"under another id":    {ID: "evil", Generation: 1, Record: genuine.Record, MAC: genuine.MAC},
		"under another count": {ID: "acme", Generation: 2, Record: genuine.Record, MAC: genuine.MAC},
		"MAC without a label": {ID: "acme", Generation: 1, Record: genuine.Record, MAC: bare},
		"not a record":        {ID: "evil", Generation: 1, Record: []byte("x"), MAC: genuine.MAC},
	} {
		t.Run(name, func(t *testing.T) {
			old, err := s.Domain(t.Context(), d.ID, d.Generation)
			if err == nil {
				d.Revision = old.Revision
				err = s.UpdateDomain(t.Context(), &d, nil)
			} else {
				d.State = StateActive
				err = s.PutDomain(t.Context(), &d, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Get(t.Context(), d.ID, d.Generation); !errors.Is(err, ErrUntrusted) {
				t.Errorf("err = %v", err)
			}
		})
	}
	// Nor is a lower generation taken where a higher one is not believed.
	if _, err := r.Current(t.Context(), "acme"); !errors.Is(err, ErrUntrusted) {
		t.Errorf("current: %v", err)
	}
}

func TestAFailureOfKMSIsNoVerdict(t *testing.T) {
	r, s, keys := newRegistry(t)
	record := made(t, "acme", 1, "arn:a")
	keys.fail = errors.New("kms is away")
	if _, err := r.Add(t.Context(), record, nil); !errors.Is(err, keys.fail) {
		t.Errorf("add: %v", err)
	}
	if _, err := s.Domain(t.Context(), "acme", 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("stored without a MAC: %v", err)
	}
	away := keys.fail
	keys.fail = nil
	if _, err := r.Add(t.Context(), record, nil); err != nil {
		t.Fatal(err)
	}
	keys.fail = away
	fresh := New(s, keys)
	if _, err := fresh.Get(t.Context(), "acme", 1); !errors.Is(err, away) {
		t.Errorf("get: %v", err)
	}
	if _, err := r.Get(t.Context(), "acme", 1); err != nil {
		t.Errorf("get of what is believed: %v", err)
	}
}

func TestTheCurrentGenerationIsTheHighestThatIsActive(t *testing.T) {
	r, _, _ := newRegistry(t)
	for _, g := range []uint16{1, 3, 2} {
		if _, err := r.Add(t.Context(), made(t, "acme", g, "arn:a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(t.Context(), made(t, "acme.00", 9, "arn:a"), nil); err != nil {
		t.Fatal(err)
	}
	d, err := r.Current(t.Context(), "acme")
	if err != nil || d.Descriptor.Generation != 3 {
		t.Fatalf("%v, %v", d, err)
	}
	if err := r.Retire(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(t.Context(), d, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("retired twice: %v", err)
	}
	if d, err := r.Current(t.Context(), "acme"); err != nil || d.Descriptor.Generation != 2 {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := r.Current(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
}

func TestAWrapIsAddedAndNoneIsLostOrChanged(t *testing.T) {
	r, _, _ := newRegistry(t)
	d, err := r.Add(t.Context(), made(t, "acme", 1, "arn:a", "arn:b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	wraps := func(edit func([]domain.Wrap) []domain.Wrap) []byte {
		return encoded(t, &domain.Record{Descriptor: d.Record.Descriptor, Wraps: edit(append([]domain.Wrap(nil), d.Record.Wraps...))})
	}
	third := domain.Wrap{ARN: "arn:c", DataKey: []byte("c")}
	for name, record := range map[string][]byte{
		"the same": d.Encoded,
		"one lost": wraps(func(w []domain.Wrap) []domain.Wrap { return w[:1] }),
		"one exchanged": wraps(func(w []domain.Wrap) []domain.Wrap {
			return []domain.Wrap{w[0], third, {ARN: "arn:d", DataKey: []byte("d")}}
		}),
		"one changed": wraps(func(w []domain.Wrap) []domain.Wrap {
			w[0].Sealed[0] ^= 1
			return append(w, third)
		}),
		"another domain": made(t, "acme", 1, "arn:a", "arn:b", "arn:c"),
	} {
		if err := r.AddWrap(t.Context(), d, record, nil); !errors.Is(err, ErrWraps) {
			t.Errorf("%s: %v", name, err)
		}
	}
	next := wraps(func(w []domain.Wrap) []domain.Wrap { return append(w, third) })
	if err := r.AddWrap(t.Context(), d, next, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.AddWrap(t.Context(), d, next, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("over a change: %v", err)
	}
	if d, err = r.Get(t.Context(), "acme", 1); err != nil || len(d.Record.Wraps) != 3 {
		t.Errorf("%v", err)
	}
}
