package keys

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

// session has credentials, by their number; 0 once it has ended.
type session struct{ n atomic.Uint64 }

func newSession(n uint64) *session {
	s := &session{}
	s.n.Store(n)
	return s
}

func (s *session) Number() uint64 { return s.n.Load() }

// personal is a failure that other credentials might not meet.
type personal struct {
	code wire.Code
	own  bool
}

func (*personal) Error() string       { return "failed" }
func (p *personal) Unwrap() error     { return &wire.Error{Code: p.code} }
func (*personal) OfCredentials() bool { return true }
func (p *personal) OwnFault() bool    { return p.own }

// selective is a KMS that fails some credentials.
type selective struct {
	kms
	failing sync.Map // number -> error
	mu      sync.Mutex
	by      []uint64 // whose credentials were used
}

func (k *selective) Unwrap(ctx context.Context, r Request) (*secret.Buffer, error) {
	n := number(r.By)
	k.mu.Lock()
	k.by = append(k.by, n)
	k.mu.Unlock()
	out, err := k.kms.Unwrap(ctx, r)
	if failure, ok := k.failing.Load(n); ok {
		out.Destroy()
		return nil, failure.(error)
	}
	return out, err
}

func (k *selective) times(n uint64) (times int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, by := range k.by {
		if by == n {
			times++
		}
	}
	return times
}

// as is the vault's request, by a session.
func (v vault) as(s *session) vault {
	v.req.By = s
	return v
}

func selectively(t *testing.T, f func(t *testing.T, c *Cache, k *selective, good, bad *session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &selective{}
		c := newCache(t, Config{TTL: 100 * time.Second}, k)
		defer c.Close()
		f(t, c, k, newSession(1), newSession(2))
	})
}

var (
	refused = &personal{code: wire.KMSUnavailable, own: true}
	denied  = &personal{code: wire.KeyDenied}
)

// ask gets a key in the background.
func ask(c *Cache, v vault) <-chan wire.Code {
	done := make(chan wire.Code, 1)
	go func() {
		k, err := c.Get(context.Background(), &v.req)
		k.Release()
		done <- codeOf(err)
	}()
	synctest.Wait()
	return done
}

func TestWhoWaitsDoesNotInheritAFailureOfOtherCredentials(t *testing.T) {
	for _, failure := range []*personal{refused, denied} {
		for name, badFirst := range map[string]bool{"bad first": true, "good first": false} {
			t.Run(name, func(t *testing.T) {
				selectively(t, func(t *testing.T, c *Cache, k *selective, good, bad *session) {
					k.failing.Store(uint64(2), failure)
					v := newVault(t, "v_1")
					release := k.hold()
					order := []*session{good, bad, good, bad}
					if badFirst {
						order = []*session{bad, good, bad, good}
					}
					var got []<-chan wire.Code
					for _, s := range order {
						got = append(got, ask(c, v.as(s)))
					}
					release()
					for i, s := range order {
						want := wire.OK // the first call's, or that of a call of its own
						if s == bad && badFirst {
							want = failure.code
						}
						if code := <-got[i]; code != want {
							t.Errorf("caller %d, credentials %d: %v, want %v", i, s.Number(), code, want)
						}
					}
					if st := c.Stats(); st.Keys != 1 || c.waiters.Load() != 0 || c.pending.Load() != 0 {
						t.Errorf("%+v, %d waiters, %d pending", st, c.waiters.Load(), c.pending.Load())
					}
					if !cached(c, v.as(bad)) {
						t.Error("a cached key does not serve every session")
					}
				})
			})
		}
	}
}

func TestManySessionsWithBadCredentialsAreAskedForOnceEach(t *testing.T) {
	selectively(t, func(t *testing.T, c *Cache, k *selective, good, _ *session) {
		v := newVault(t, "v_1")
		release := k.hold()
		var bad []<-chan wire.Code
		for i := range 10 {
			n := uint64(10 + i)
			k.failing.Store(n, denied)
			for range 3 {
				bad = append(bad, ask(c, v.as(newSession(n)))) // sessions with equal credentials
			}
		}
		last := ask(c, v.as(good))
		release()
		if code := <-last; code != wire.OK {
			t.Errorf("good credentials: %v", code)
		}
		for _, b := range bad {
			if code := <-b; code != wire.KeyDenied && code != wire.OK {
				t.Error(code)
			}
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if len(k.by) > 11 {
			t.Errorf("%d calls for 11 sets of credentials", len(k.by))
		}
	})
}

func TestADenialIsRememberedForTheCredentialsThatMetItAlone(t *testing.T) {
	selectively(t, func(t *testing.T, c *Cache, k *selective, good, bad *session) {
		k.failing.Store(uint64(2), denied)
		v := newVault(t, "v_1")
		for range 3 {
			if code := <-ask(c, v.as(bad)); code != wire.KeyDenied {
				t.Error(code)
			}
		}
		if n := k.times(2); n != 1 {
			t.Errorf("asked %d times within the failure's life", n)
		}
		if code := <-ask(c, v.as(good)); code != wire.OK {
			t.Errorf("good credentials after a denial of bad ones: %v", code)
		}
		// The same again once the key is gone, in the other order.
		c.PurgeAll()
		k.failing.Store(uint64(2), refused)
		if code := <-ask(c, v.as(bad)); code != wire.KMSUnavailable {
			t.Error(code)
		}
		if code := <-ask(c, v.as(good)); code != wire.OK {
			t.Errorf("good credentials after a refusal of bad ones: %v", code)
		}
	})
}

func TestARefreshDeniedToOthersEvictsNothing(t *testing.T) {
	selectively(t, func(t *testing.T, c *Cache, k *selective, good, bad *session) {
		k.failing.Store(uint64(2), denied)
		v := newVault(t, "v_1")
		get(t, c, v.as(good))
		time.Sleep(86 * time.Second) // any hit refreshes
		for range 20 {
			if !cached(c, v.as(bad)) {
				t.Fatal("a session whose credentials KMS denies evicted the key")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := k.times(2); n != 1 {
			t.Errorf("refreshed %d times with credentials that were denied", n)
		}
		time.Sleep(time.Second)
		cached(c, v.as(good))
		synctest.Wait()
		if n := k.times(1); n != 2 {
			t.Errorf("good credentials did not refresh in their turn: %d calls", n)
		}
		time.Sleep(20 * time.Second)
		if !cached(c, v.as(bad)) {
			t.Error("the refresh did not renew the key")
		}
		// To whom KMS allowed it, it denies it now: that is a revocation.
		k.failing.Store(uint64(1), denied)
		time.Sleep(70 * time.Second)
		cached(c, v.as(good))
		synctest.Wait()
		if cached(c, v.as(good)) {
			t.Error("a key that KMS revoked is still there")
		}
	})
}

func TestARefreshOfASessionThatIsGoneWaitsForAnother(t *testing.T) {
	selectively(t, func(t *testing.T, c *Cache, k *selective, good, gone *session) {
		v := newVault(t, "v_1")
		get(t, c, v.as(gone))
		gone.n.Store(0)
		time.Sleep(86 * time.Second)
		for range 5 {
			if !cached(c, v.as(gone)) {
				t.Fatal("the key went with its session")
			}
			synctest.Wait()
		}
		k.wantCalls(t, 1)
		cached(c, v.as(good))
		synctest.Wait()
		if k.wantCalls(t, 2); k.times(1) != 1 {
			t.Error("not refreshed with the credentials of the session that used the key")
		}
	})
}

func TestCredentialsThatChangeUnderACallAreNotBlamed(t *testing.T) {
	selectively(t, func(t *testing.T, c *Cache, k *selective, good, changing *session) {
		k.failing.Store(uint64(2), denied)
		v := newVault(t, "v_1")
		release := k.hold()
		first := ask(c, v.as(changing))
		changing.n.Store(3)
		second := ask(c, v.as(changing))
		third := ask(c, v.as(good))
		release()
		if a, b, g := <-first, <-second, <-third; a != wire.KeyDenied || b != wire.KeyDenied || g != wire.OK {
			t.Errorf("%v, %v, %v", a, b, g)
		}
		if n := c.Stats().Negatives; n != 0 {
			t.Errorf("%d failures are remembered against unknown credentials", n)
		}
	})
}
