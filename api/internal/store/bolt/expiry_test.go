//go:build !wasip1

package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

// noEntry is an Expiry that audits nothing.
func noEntry(context.Context, string) (*store.Entry, func(error), error) {
	return nil, func(error) {}, nil
}

// expiring is a store with expired records of these ids.
func expiring(t *testing.T, ids ...string) *Store {
	t.Helper()
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), clock.Now)
	for _, id := range ids {
		r := rec(id)
		r.ExpireAt = storetest.Start + 10
		must(t, s.Create(t.Context(), r, nil, nil))
	}
	clock.Set(storetest.Start + 11)
	return s
}

// stored tells whether the file holds a record, expired or not.
func stored(t *testing.T, s *Store, id string) bool {
	t.Helper()
	records, _, err := s.due(storetest.Start + 1000)
	must(t, err)
	for _, key := range records {
		if string(key[9:]) == id {
			return true
		}
	}
	return false
}

func TestEachExpiredRecordGoesWithItsEntry(t *testing.T) {
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprintf("v_%d", i))
	}
	s := expiring(t, ids...)
	var mu sync.Mutex
	ended := map[string]error{}
	n := s.sweepOnce(t.Context(), func(_ context.Context, id string) (*store.Entry, func(error), error) {
		return entryOf(id), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			ended[id] = err
		}, nil
	})
	if n != len(ids) || len(ended) != len(ids) {
		t.Fatalf("%d removed, %d told", n, len(ended))
	}
	for id, err := range ended {
		must(t, err)
		if e, err := s.LastAudit(t.Context(), id); err != nil || e.Event != "DeleteVault" || stored(t, s, id) {
			t.Fatalf("%s: %v, %v", id, e, err)
		}
	}
}

func TestAnExpiredRecordWithoutAnEntryStaysUntilTheNextSweep(t *testing.T) {
	s := expiring(t, "v_1", "v_2")
	n := s.sweepOnce(t.Context(), func(ctx context.Context, id string) (*store.Entry, func(error), error) {
		if id == "v_1" {
			return nil, nil, errors.New("no key for the chain")
		}
		return noEntry(ctx, id)
	})
	if n != 1 || !stored(t, s, "v_1") || stored(t, s, "v_2") {
		t.Fatalf("%d removed", n)
	}
	if n := s.sweepOnce(t.Context(), noEntry); n != 1 || stored(t, s, "v_1") {
		t.Fatalf("%d removed by the next sweep", n)
	}
}

func TestARecordThatIsNewByTheTimeOfItsRemovalStays(t *testing.T) {
	s := expiring(t, "v_1")
	var told error
	n := s.sweepOnce(t.Context(), func(_ context.Context, id string) (*store.Entry, func(error), error) {
		r := rec(id)
		r.ExpireAt = storetest.Start + 100
		return entryOf(id), func(err error) { told = err }, s.Create(t.Context(), r, nil, nil)
	})
	if n != 0 || !errors.Is(told, store.ErrConflict) {
		t.Fatalf("%d removed, %v", n, told)
	}
	if _, err := s.Get(t.Context(), "v_1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LastAudit(t.Context(), "v_1"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an entry without a removal: %v", err)
	}
	if n := s.sweepOnce(t.Context(), noEntry); n != 1 { // what the index says of before
		t.Fatalf("%d removed by the next sweep", n)
	}
	if _, err := s.Get(t.Context(), "v_1"); err != nil {
		t.Fatal(err)
	}
}
