package vault_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// distant is a store that is some milliseconds away.
type distant struct {
	store.Store
	writes, conflicts atomic.Int64
}

func (d *distant) Get(ctx context.Context, id string) (*store.Record, error) {
	<-time.After(5 * time.Millisecond)
	return d.Store.Get(ctx, id)
}

func (d *distant) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	<-time.After(10 * time.Millisecond)
	d.writes.Add(1)
	err := d.Store.Update(ctx, u, e)
	if err != nil {
		d.conflicts.Add(1)
	}
	return err
}

func TestTwentyWritersOfOneVaultAllSucceed(t *testing.T) {
	const writers = 20
	synctest.Test(t, func(t *testing.T) {
		var far *distant
		e := setup(t, func(c *vault.Config) {
			far = &distant{Store: c.Store}
			c.Store = far
		})
		id := e.create(map[string]string{"city": "Bern"})
		var wg sync.WaitGroup
		failed := make([]error, writers)
		start := time.Now()
		for i := range writers {
			wg.Go(func() {
				req := &vault.PatchRequest{ID: id, Values: map[string]string{"city": fmt.Sprintf("city %d", i)}}
				_, failed[i] = e.Patch(t.Context(), e.caller, req)
			})
		}
		wg.Wait()
		for i, err := range failed {
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		}
		t.Logf("%d transactions for %d writes, %d conflicts, %v", far.writes.Load(), writers, far.conflicts.Load(), time.Since(start))
		e.must(e.store.Close()) // its goroutines end within the bubble
	})
}
