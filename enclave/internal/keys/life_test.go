package keys

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

func TestPurgeOfAVaultSparesTheOthers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		a1, a2, b := newVault(t, "v_a"), newVault(t, "v_a"), newVault(t, "v_b")
		for _, v := range []vault{a1, a2, b} {
			openOne(t, c, v)
		}
		if n := c.PurgeVault([]byte("v_a")); n != 2 {
			t.Errorf("%d keys purged, want 2", n)
		}
		if cached(c, a1) || cached(c, a2) || !cached(c, b) {
			t.Error("the wrong keys")
		}
		if st := c.Stats(); st.Keys != 1 || st.Contexts != 1 {
			t.Errorf("%+v", st)
		}
		if c.PurgeVault([]byte("v_none")) != 0 || c.PurgeVault(nil) != 0 || c.PurgeAll() != 1 {
			t.Error("purges of nothing and of all")
		}
		if st := c.Stats(); st.Keys != 0 || st.Contexts != 0 || c.contexts.arena.InUse() != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// An unwrap that KMS may have decided before the purge answers its callers and is not kept.
func TestPurgeReachesUnwrapsInFlight(t *testing.T) {
	for _, whole := range []bool{true, false} {
		bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
			v := newVault(t, "v_1")
			release := k.hold()
			w := &recorder{}
			c.Fetch(&v.req, w)
			synctest.Wait()
			if whole {
				c.PurgeAll()
			} else {
				c.PurgeVault([]byte("v_1"))
			}
			after := &recorder{}
			c.Fetch(&v.req, after) // has an unwrap of its own
			synctest.Wait()
			k.wantCalls(t, 2)
			release()
			synctest.Wait()
			if w.keys != 1 || after.keys != 1 {
				t.Errorf("answers %+v %+v", w, after)
			}
			if w.last == after.last {
				t.Error("who asked after the purge got the key from before")
			}
			if c.Stats().Keys != 1 {
				t.Error("what was asked for before the purge was kept", c.Stats().Keys)
			}
			w.release()
			after.release()
		})
	}
}

func TestCloseAnswersThoseWhoWaitAndWipesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		c := newCache(t, Config{MaxUnwraps: 1}, k)
		v := newVault(t, "v_1")
		openOne(t, c, v)
		defer k.hold()()
		w := &recorder{}
		for range 5 {
			other := newVault(t, "v_2")
			c.Fetch(&other.req, w)
		}
		synctest.Wait()
		c.Close()
		c.Close()
		if len(w.errs) != 5 {
			t.Fatalf("%d of 5 answered", len(w.errs))
		}
		for _, code := range w.errs {
			if code != wire.ShuttingDown {
				t.Error(code)
			}
		}
		if st := c.Stats(); st.Keys != 0 || st.Contexts != 0 || st.Pending != 0 || st.Waiters != 0 {
			t.Errorf("%+v", st)
		}
		if _, err := c.Get(context.Background(), &v.req); codeOf(err) != wire.ShuttingDown {
			t.Error(err)
		}
		if n := k.calls.Load(); n != 2 {
			t.Errorf("%d unwraps: one that only queued was begun", n)
		}
	})
}

func TestKeysHeldOverCloseOpenNothing(t *testing.T) {
	c := newCache(t, Config{}, &kms{})
	v := newVault(t, "v_1")
	blob := openOne(t, c, v)
	key, ok := c.Lookup(&v.req)
	if !ok {
		t.Fatal("no key")
	}
	c.Close()
	if _, err := key.Open(nil, []byte("ssn"), blob); !errors.Is(err, sealed.ErrOpen) {
		t.Error(err)
	}
	if _, ok, _ := key.OpenCached(nil, []byte("ssn"), blob); ok {
		t.Error("opened")
	}
	key.Release()
}
