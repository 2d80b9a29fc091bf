package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

func TestOneUnwrapHoweverManyWait(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		release := k.hold()
		w := &recorder{}
		for range 1000 {
			c.Fetch(&v.req, w)
		}
		synctest.Wait()
		if st := c.Stats(); st.Waiters != 1000 || st.Pending != 1 {
			t.Errorf("%+v", st)
		}
		release()
		synctest.Wait()
		k.wantCalls(t, 1)
		if w.keys != 1000 || len(w.errs) != 0 || c.Stats().Waiters != 0 || c.Stats().Pending != 0 {
			t.Errorf("%d keys, %v, %+v", w.keys, w.errs, c.Stats())
		}
		if refs := w.last.refs.Load(); refs != 1001 {
			t.Errorf("%d references", refs)
		}
		w.release()
	})
}

func TestASharedUnwrapOutlivesTheCallerThatBeganIt(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		release := k.hold()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.Get(ctx, &v.req); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w := &recorder{}
		c.Fetch(&v.req, w)
		time.Sleep(time.Second)
		release()
		synctest.Wait()
		k.wantCalls(t, 1)
		if w.keys != 1 || !cached(c, v) {
			t.Error("lost")
		}
		w.release()
	})
}

func TestAnUnwrapNobodyWaitsForIsStillKept(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		release := k.hold()
		wait := c.Fetch(&v.req, &recorder{})
		synctest.Wait()
		if !wait.Cancel() || wait.Cancel() {
			t.Error("Cancel")
		}
		release()
		synctest.Wait()
		if !cached(c, v) {
			t.Error("thrown away")
		}
	})
}

func TestCancelledWaitsAreNotAnswered(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		release := k.hold()
		var all []*recorder
		var waits []*Wait
		for range 10 {
			r := &recorder{}
			all = append(all, r)
			waits = append(waits, c.Fetch(&v.req, r))
		}
		for _, i := range []int{9, 0, 4, 5} { // last, first, middle
			if !waits[i].Cancel() {
				t.Error("not cancelled")
			}
		}
		release()
		synctest.Wait()
		for i, r := range all {
			if want := i != 9 && i != 0 && i != 4 && i != 5; (r.keys == 1) != want || len(r.errs) != 0 {
				t.Errorf("waiter %d: %d keys", i, r.keys)
			}
			r.release()
		}
		if waits[1].Cancel() {
			t.Error("cancelled after its answer")
		}
		if c.Stats().Waiters != 0 {
			t.Error(c.Stats().Waiters)
		}
	})
}

func TestQueuedUnwrapsThatEverybodyLeftAreNotBegun(t *testing.T) {
	bubble(t, Config{MaxUnwraps: 1}, func(t *testing.T, c *Cache, k *kms) {
		a, b := newVault(t, "v_a"), newVault(t, "v_b")
		release := k.hold()
		w := &recorder{}
		c.Fetch(&a.req, w)
		synctest.Wait()
		wait := c.Fetch(&b.req, w)
		synctest.Wait()
		wait.Cancel()
		release()
		synctest.Wait()
		k.wantCalls(t, 1)
		if st := c.Stats(); st.Pending != 0 || st.UnwrapFailures != 0 {
			t.Errorf("%+v", st)
		}
		get(t, c, b)
		w.release()
	})
}

func TestUnwrapsAtATimeAreBounded(t *testing.T) {
	bubble(t, Config{MaxUnwraps: 3}, func(t *testing.T, c *Cache, k *kms) {
		release := k.hold()
		w := &recorder{}
		for i := range 20 {
			v := newVault(t, fmt.Sprint(i))
			c.Fetch(&v.req, w)
		}
		synctest.Wait()
		if n := k.inside.Load(); n != 3 {
			t.Errorf("%d run", n)
		}
		release()
		synctest.Wait()
		if k.most.Load() > 3 || w.keys != 20 {
			t.Errorf("%d ran at a time, %d answers", k.most.Load(), w.keys)
		}
		w.release()
	})
}

func TestPendingUnwrapsAndWaitersAreBounded(t *testing.T) {
	bubble(t, Config{MaxPending: 4, MaxWaiters: 40}, func(t *testing.T, c *Cache, k *kms) {
		release := k.hold()
		w, refused := &recorder{}, &recorder{}
		var vs []vault
		for i := range 4 {
			vs = append(vs, newVault(t, fmt.Sprint(i)))
			c.Fetch(&vs[i].req, w)
		}
		fifth := newVault(t, "5")
		if c.Fetch(&fifth.req, refused) != nil || len(refused.errs) != 1 || refused.errs[0] != wire.Overloaded {
			t.Errorf("a fifth unwrap: %v", refused.errs)
		}
		for range 9 {
			c.Fetch(&vs[0].req, w)
		}
		if c.Fetch(&vs[0].req, refused); len(refused.errs) != 2 {
			t.Error("one key may have more than a quarter of the waiters")
		}
		for i := range 27 {
			c.Fetch(&vs[1+i%3].req, w)
		}
		if c.Fetch(&vs[1].req, refused); len(refused.errs) != 3 || c.Stats().Waiters != 40 {
			t.Error("more waiters than allowed", c.Stats().Waiters)
		}
		release()
		synctest.Wait()
		if w.keys != 40 || c.Stats().Waiters != 0 || c.Stats().UnwrapsRefused != 3 {
			t.Errorf("%d answers, %+v", w.keys, c.Stats())
		}
		get(t, c, fifth)
		w.release()
	})
}

func TestUnwrapsEndAtTheirTimeout(t *testing.T) {
	bubble(t, Config{UnwrapTimeout: 3 * time.Second, MaxUnwraps: 1}, func(t *testing.T, c *Cache, k *kms) {
		defer k.hold()()
		w := &recorder{}
		for i := range 2 { // the second spends its time in the queue
			v := newVault(t, fmt.Sprint(i))
			c.Fetch(&v.req, w)
		}
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		// The second gets the first's place in the instant in which its own time is up, or does not.
		if len(w.errs) != 2 || !slices.Contains(w.errs, wire.KMSUnavailable) ||
			w.errs[0] != w.errs[1] && !slices.Contains(w.errs, wire.Overloaded) {
			t.Error(w.errs)
		}
	})
}

func TestFailuresReachEveryWaiterWithTheirCode(t *testing.T) {
	for _, code := range []wire.Code{
		wire.KeyDenied, wire.KMSThrottled, wire.KMSUnavailable, wire.Unauthenticated, wire.Internal, wire.DeadlineExceeded,
	} {
		bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
			k.set(fmt.Errorf("wrapped: %w", &wire.Error{Code: code, RetryAfterMS: 77}))
			v := newVault(t, "v_1")
			_, err := c.Get(context.Background(), &v.req)
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != code || e.RetryAfterMS != 77 {
				t.Errorf("%v: %v", code, err)
			}
		})
	}
}

func TestAnUnwrapperThatPanicsIsAnInternalError(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		k.panics = true
		v := newVault(t, "v_1")
		_, err := c.Get(context.Background(), &v.req)
		if codeOf(err) != wire.Internal || err.Error() != wire.Internal.Text() {
			t.Error(err)
		}
		k.panics = false
		get(t, c, v)
	})
}

func TestErrorsWithoutACodeAreInternal(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		k.set(errors.New("sentinel"))
		v := newVault(t, "v_1")
		_, err := c.Get(context.Background(), &v.req)
		if codeOf(err) != wire.Internal || err.Error() != wire.Internal.Text() {
			t.Error(err)
		}
	})
}

func TestAKeyThatIsNoKeyOfItsSuiteIsDecryptFailed(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		wrong := v
		wrong.req.Suite = sealed.P384
		if _, err := c.Get(context.Background(), &wrong.req); codeOf(err) != wire.DecryptFailed {
			t.Error(err)
		}
		junk := v
		junk.req.Wrapped = []byte("junk")
		if _, err := c.Get(context.Background(), &junk.req); codeOf(err) != wire.DecryptFailed {
			t.Error(err)
		}
	})
}

func TestPublicKeyWorkGoesThroughCompute(t *testing.T) {
	n := 0
	bubble(t, Config{Compute: func(task func()) { n++; task() }}, func(t *testing.T, c *Cache, k *kms) {
		get(t, c, newVault(t, "v_1"))
		if n != 1 {
			t.Error(n)
		}
	})
	bubble(t, Config{Compute: func(func()) {}}, func(t *testing.T, c *Cache, k *kms) { // a pool that has stopped
		v := newVault(t, "v_1")
		if _, err := c.Get(context.Background(), &v.req); codeOf(err) != wire.Internal {
			t.Error(err)
		}
	})
}
