package keys

import (
	"context"
	"fmt"
	"testing"
	"time"

	"redoubt/wire"
)

func TestFailuresAreRememberedBrieflyPerKind(t *testing.T) {
	for code, life := range map[wire.Code]time.Duration{
		wire.KeyDenied:        rememberDenied,
		wire.KMSThrottled:     rememberThrottled,
		wire.KMSUnavailable:   rememberUnavailable,
		wire.DecryptFailed:    rememberMalformed,
		wire.Unauthenticated:  0, // our credentials, not the key
		wire.Internal:         0,
		wire.DeadlineExceeded: 0,
		wire.Overloaded:       0,
		wire.ShuttingDown:     0,
	} {
		bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
			k.set(coded(code))
			v, other := newVault(t, "v_1"), newVault(t, "v_1")
			fail := func(v vault) {
				t.Helper()
				if _, err := c.Get(context.Background(), &v.req); codeOf(err) != code {
					t.Errorf("%v: %v", code, err)
				}
			}
			fail(v)
			k.wantCalls(t, 1)
			fail(other) // another key is not judged by it
			k.wantCalls(t, 2)
			if life == 0 {
				fail(v)
				k.wantCalls(t, 3)
				return
			}
			time.Sleep(life - time.Millisecond)
			fail(v)
			k.wantCalls(t, 2)
			if st := c.Stats(); st.NegativeHits != 1 || st.Negatives != 2 {
				t.Errorf("%v: %+v", code, st)
			}
			time.Sleep(time.Millisecond)
			k.set(nil)
			get(t, c, v)
			k.wantCalls(t, 3)
		})
	}
}

func TestThrottlingIsRememberedAsLongAsKMSAsks(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		k.set(&wire.Error{Code: wire.KMSThrottled, RetryAfterMS: 1500})
		v := newVault(t, "v_1")
		for _, wait := range []time.Duration{0, 1499 * time.Millisecond, time.Millisecond} {
			time.Sleep(wait)
			if _, err := c.Get(context.Background(), &v.req); codeOf(err) != wire.KMSThrottled {
				t.Error(err)
			}
		}
		k.wantCalls(t, 2)
	})
}

func TestPurgeForgetsFailures(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		a, b := newVault(t, "v_a"), newVault(t, "v_b")
		k.set(coded(wire.KeyDenied))
		for _, v := range []vault{a, b} {
			if _, err := c.Get(context.Background(), &v.req); codeOf(err) != wire.KeyDenied {
				t.Fatal(err)
			}
		}
		k.set(nil)
		c.PurgeVault([]byte("v_a"))
		get(t, c, a)
		if _, err := c.Get(context.Background(), &b.req); codeOf(err) != wire.KeyDenied {
			t.Error("another vault's failure was forgotten", err)
		}
		c.PurgeAll()
		get(t, c, b)
	})
}

// SECURITY.md, check 27: a flood of keys that fail takes a fixed amount of memory, and evicts no key that works.
func TestAFloodOfFailuresIsBounded(t *testing.T) {
	bubble(t, Config{MaxKeys: 16}, func(t *testing.T, c *Cache, k *kms) {
		good := newVault(t, "v_good")
		get(t, c, good)
		k.set(coded(wire.KeyDenied))
		for i := range 3 * maxNegatives {
			bad := good
			bad.req.Wrapped = fmt.Append(nil, i)
			if _, err := c.Get(context.Background(), &bad.req); codeOf(err) != wire.KeyDenied {
				t.Fatal(err)
			}
		}
		if st := c.Stats(); st.Negatives != maxNegatives || st.Keys != 1 || !cached(c, good) {
			t.Errorf("%+v", st)
		}
		time.Sleep(rememberDenied + time.Second + time.Millisecond)
		if st := c.Stats(); st.Negatives != 0 {
			t.Errorf("stale failures are kept: %+v", st)
		}
	})
}
