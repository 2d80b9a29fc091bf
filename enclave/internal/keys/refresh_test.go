package keys

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
)

// hitUntil looks a key up every 100 ms until done says so, and fails after limit.
func hitUntil(t *testing.T, c *Cache, v vault, limit time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen in time")
		}
		if !cached(c, v) {
			t.Fatal("a hit failed")
		}
	}
}

func TestHotKeysAreRefreshedAhead(t *testing.T) {
	bubble(t, Config{TTL: time.Minute}, func(t *testing.T, c *Cache, k *kms) {
		hot, cold := newVault(t, "v_hot"), newVault(t, "v_cold")
		blob := openOne(t, c, hot)
		get(t, c, cold)
		hitUntil(t, c, hot, 10*time.Minute, func() bool { return time.Since(c.start) >= 9*time.Minute })
		if n := k.calls.Load() - 2; n < 9 || n > 14 {
			t.Errorf("%d refreshes in nine lives", n)
		}
		if st := c.Stats(); st.KeyMisses != 2 || st.Keys != 1 || int64(st.Refreshes) != k.calls.Load()-2 {
			t.Errorf("%+v", st)
		}
		if !hasContext(t, c, hot, blob) {
			t.Error("a refresh dropped the contexts")
		}
	})
}

func TestRefreshesOfKeysThatCameTogetherSpread(t *testing.T) {
	bubble(t, Config{TTL: 100 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
		times := map[int64]int{}
		for range 500 {
			at := c.refreshTime(0)
			if at < int64(65*time.Second) || at >= int64(85*time.Second) {
				t.Fatal(time.Duration(at))
			}
			times[at/int64(time.Second)]++
		}
		if len(times) != 20 {
			t.Errorf("in %d of 20 seconds", len(times))
		}
	})
}

func TestOneRefreshHoweverManyHits(t *testing.T) {
	bubble(t, Config{TTL: 100 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		get(t, c, v)
		time.Sleep(90 * time.Second)
		release := k.hold()
		for range 1000 {
			if !cached(c, v) { // nobody waits for it
				t.Fatal("a hit failed")
			}
		}
		synctest.Wait()
		k.wantCalls(t, 2)
		release()
		synctest.Wait()
		time.Sleep(50 * time.Second)
		if !cached(c, v) {
			t.Error("not renewed")
		}
	})
}

// Revocation at KMS: the refresh is told, and the key and its contexts go at once, not at the end of the TTL.
func TestARefreshThatIsDeniedEvictsKeyAndContextsAtOnce(t *testing.T) {
	bubble(t, Config{TTL: 100 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		openOne(t, c, v)
		time.Sleep(90 * time.Second)
		k.set(coded(wire.KeyDenied))
		if !cached(c, v) {
			t.Fatal("gone too early")
		}
		synctest.Wait()
		if st := c.Stats(); cached(c, v) || st.Keys != 0 || st.Contexts != 0 || c.contexts.arena.InUse() != 0 {
			t.Errorf("%+v", st)
		}
		if _, err := c.Get(context.Background(), &v.req); codeOf(err) != wire.KeyDenied {
			t.Error(err)
		}
		k.wantCalls(t, 2) // the last answer was remembered
	})
}

func TestARefreshThatFailsOtherwiseKeepsTheKeyUntilItsTTL(t *testing.T) {
	for _, code := range []wire.Code{wire.KMSThrottled, wire.KMSUnavailable, wire.Unauthenticated, wire.Internal} {
		bubble(t, Config{TTL: 100 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
			v := newVault(t, "v_1")
			blob := openOne(t, c, v)
			k.set(coded(code))
			hitUntil(t, c, v, 100*time.Second, func() bool { return time.Since(c.start) >= 99*time.Second })
			if !hasContext(t, c, v, blob) {
				t.Errorf("%v: the contexts are gone", code)
			}
			if st := c.Stats(); st.RefreshFailures < 2 || st.RefreshFailures > 15 || st.Negatives != 0 {
				t.Errorf("%v: %+v", code, st)
			}
			time.Sleep(time.Second)
			if cached(c, v) {
				t.Errorf("%v: lives longer than its TTL", code)
			}
		})
	}
}

// A key that expires while its refresh runs is fetched by joining that refresh.
func TestAFetchJoinsARunningRefresh(t *testing.T) {
	bubble(t, Config{TTL: 10 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		get(t, c, v)
		time.Sleep(9 * time.Second)
		release := k.hold()
		cached(c, v)
		time.Sleep(2 * time.Second)
		w := &recorder{}
		if cached(c, v) {
			t.Fatal("not expired")
		}
		c.Fetch(&v.req, w)
		release()
		synctest.Wait()
		k.wantCalls(t, 2)
		if w.keys != 1 || !cached(c, v) || c.Stats().Keys != 1 {
			t.Errorf("%+v", c.Stats())
		}
		w.release()
	})
}

// The refresh of a key that a purge took away must not bring it back.
func TestPurgeDuringARefresh(t *testing.T) {
	bubble(t, Config{TTL: 10 * time.Second}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		get(t, c, v)
		time.Sleep(9 * time.Second)
		release := k.hold()
		cached(c, v)
		synctest.Wait()
		if c.PurgeVault([]byte("v_1")) != 1 {
			t.Error("not purged")
		}
		release()
		synctest.Wait()
		if st := c.Stats(); cached(c, v) || st.Keys != 0 || st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Refreshes give way to callers: where unwraps are at their bound, one is put off, and nobody notices.
func TestARefreshThatFindsNoPlaceIsPutOff(t *testing.T) {
	bubble(t, Config{TTL: 100 * time.Second, MaxPending: 1}, func(t *testing.T, c *Cache, k *kms) {
		v, other := newVault(t, "v_1"), newVault(t, "v_2")
		get(t, c, v)
		time.Sleep(90 * time.Second)
		release := k.hold()
		w := &recorder{}
		c.Fetch(&other.req, w)
		for range 10 {
			if !cached(c, v) {
				t.Fatal("a hit failed")
			}
		}
		synctest.Wait()
		k.wantCalls(t, 2)
		release()
		synctest.Wait()
		w.release()
		hitUntil(t, c, v, 9*time.Second, func() bool { return k.calls.Load() == 3 })
		time.Sleep(50 * time.Second)
		if !cached(c, v) || c.Stats().Refreshes != 1 {
			t.Errorf("%+v", c.Stats())
		}
	})
}
