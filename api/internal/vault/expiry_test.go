package vault_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/store/storetest"
	"redoubt/api/internal/vault"
)

func TestAnExpiredVaultsLogEndsWithItsRemoval(t *testing.T) {
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	db, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{
		Now: clock.Now, SweepEvery: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	e := setup(t, func(c *vault.Config) { c.Store, c.Now = db, clock.Now })
	out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{
		Values: map[string]string{"city": "Bern"}, TTL: time.Minute,
	})
	e.must(err)
	ended := make(chan error, 1)
	db.Sweep(func(ctx context.Context, id string) (*store.Entry, func(error), error) {
		p, err := e.Expiring(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		return p.Entry(), func(err error) {
			p.Done(err)
			ended <- err
		}, nil
	})
	clock.Set(storetest.Start + 61)
	select {
	case err := <-ended:
		e.must(err)
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was removed")
	}
	log, _, err := e.Audit(t.Context(), e.caller, out.ID, store.Page{})
	e.must(err)
	last := log[len(log)-1]
	if len(log) != 2 || last.Name != audit.EventDelete || last.Reason != audit.ReasonExpired ||
		last.Principal != audit.Expirer || last.Outcome != audit.OutcomeOK {
		t.Fatalf("log %+v", log)
	}
	if r, err := audit.Verify(t.Context(), db, e.world, nil); err != nil || len(r.Problems) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}
