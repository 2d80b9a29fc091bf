package keys

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/wire/kit/sealed"
)

// bell is a Parked that counts.
type bell struct{ rung atomic.Int32 }

func (b *bell) ContextReady() { b.rung.Add(1) }

func shared(t *testing.T) (*Cache, Key, sealed.Blob) {
	t.Helper()
	c := newCache(t, Config{}, &kms{})
	t.Cleanup(c.Close)
	v := newVault(t, "v_1")
	key, err := c.Get(context.Background(), &v.req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(key.Release)
	return c, key, v.seal(t, sealed.EncodingField, map[string]string{"ssn": "1"})["ssn"]
}

func claim(t *testing.T, k Key, enc []byte, wantFirst bool) Share {
	t.Helper()
	s, first := k.Share(enc, 0)
	if first != wantFirst {
		t.Errorf("first is %v", first)
	}
	return s
}

// empty checks that nothing is left of what was shared.
func empty(t *testing.T, c *Cache) {
	t.Helper()
	n := 0
	for i := range c.shares.shards {
		n += len(c.shares.shards[i].byID)
	}
	if n != 0 || c.shares.count.Load() != 0 || c.shares.arena.InUse() != 0 {
		t.Errorf("%d derivations, count %d, %d contexts are left", n, c.shares.count.Load(), c.shares.arena.InUse())
	}
}

func TestThoseWhoShareADerivationWaitForOne(t *testing.T) {
	c, key, blob := shared(t)
	first, second, third := claim(t, key, blob.Enc, true), claim(t, key, blob.Enc, false), claim(t, key, blob.Enc, false)
	if s, first := key.Share(blob.Enc, 1); !first {
		t.Error("another queue's work is not charged to it")
	} else {
		s.Release()
	}
	o, parked := first.Begin(blob.Enc, nil)
	if parked || !o.Derived() {
		t.Fatal("the first does not derive")
	}
	var b bell
	for _, s := range []Share{second, third} {
		if _, parked := s.Begin(blob.Enc, &b); !parked {
			t.Fatal("another derives as well")
		}
	}
	if plain, err := o.Open(nil, []byte("ssn"), blob); err != nil || string(plain) != "1" {
		t.Error(err)
	}
	if b.rung.Load() != 0 {
		t.Error("told before the context is there")
	}
	o.End()
	first.Release()
	if b.rung.Load() != 2 {
		t.Errorf("%d told", b.rung.Load())
	}
	for _, s := range []Share{second, third} {
		o, parked := s.Begin(blob.Enc, &b)
		plain, err := o.Open(nil, []byte("ssn"), blob)
		if parked || o.Derived() || err != nil || string(plain) != "1" {
			t.Error(parked, o.Derived(), err)
		}
		o.End()
		s.Release()
	}
	if st := c.Stats(); st.Derivations != 1 || st.Contexts != 1 {
		t.Errorf("%+v", st)
	}
	empty(t, c)
}

// A field that does not open, and an encapsulated key that is none, fail each alike, at the cost of one derivation, and
// leave nothing for those who come later.
func TestAFailedDerivationIsSharedAndNotKept(t *testing.T) {
	c, key, blob := shared(t)
	damaged, noPoint := blob, blob
	damaged.CT = bytes.Clone(blob.CT)
	damaged.CT[0] ^= 1
	noPoint.Enc = bytes.Clone(blob.Enc)
	noPoint.Enc[20] ^= 1
	for round := range 2 {
		for i, bad := range []sealed.Blob{damaged, noPoint} {
			shares := []Share{claim(t, key, bad.Enc, true), claim(t, key, bad.Enc, false), claim(t, key, bad.Enc, false)}
			for _, s := range shares {
				o, _ := s.Begin(bad.Enc, nil)
				if _, err := o.Open(nil, []byte("ssn"), bad); !errors.Is(err, sealed.ErrOpen) {
					t.Error(err)
				}
				o.End()
			}
			for _, s := range shares {
				s.Release()
			}
			if st := c.Stats(); int(st.Derivations) != 2*round+i+1 || st.Contexts != 0 {
				t.Errorf("%d derivations, %d contexts", st.Derivations, st.Contexts)
			}
		}
	}
	empty(t, c)
}

// A claimant that panics while it derives, or leaves without deriving, hands over to the next one, and to no other.
func TestADerivationThatIsGivenUpGoesToTheNext(t *testing.T) {
	c, key, blob := shared(t)
	first, second, third := claim(t, key, blob.Enc, true), claim(t, key, blob.Enc, false), claim(t, key, blob.Enc, false)
	var b [2]bell
	vaultKey := key.e.key
	key.e.key = nil // so that deriving panics
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
			first.Release()
		}()
		o := Opening{k: key, d: first.d, l: c.scratch.get()}
		_, _ = first.d.take(c.shares.arena, o.l.context(), nil)
		for i, s := range []Share{second, third} {
			if _, parked := s.Begin(blob.Enc, &b[i]); !parked {
				t.Error("not parked")
			}
		}
		o.leads = true
		defer o.give(idle) // as Begin does
		o.derive(blob.Enc)
	}()
	key.e.key = vaultKey
	if b[0].rung.Load() != 1 {
		t.Fatal("the next one is not told")
	}
	second.Release() // its deadline has passed meanwhile
	if b[1].rung.Load() == 0 {
		t.Fatal("nobody takes over")
	}
	o, parked := third.Begin(blob.Enc, nil)
	if _, err := o.Open(nil, []byte("ssn"), blob); parked || err != nil {
		t.Error(parked, err)
	}
	o.End()
	third.Release()
	empty(t, c)
}

func TestAPanicInBeginLeavesNothingRunning(t *testing.T) {
	c, key, blob := shared(t)
	s := claim(t, key, blob.Enc, true)
	vaultKey := key.e.key
	key.e.key = nil
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Begin(blob.Enc, nil)
		t.Error("no panic")
	}()
	key.e.key = vaultKey
	if s.d.state != idle || len(c.scratch.free) != cap(c.scratch.free) {
		t.Error("it is still running, or holds secret memory")
	}
	s.Release()
	empty(t, c)
}

// Claims are bounded by count. Beyond the bound each request derives its own context.
func TestClaimsAreBounded(t *testing.T) {
	c, key, blob := shared(t)
	c.shares.count.Store(maxShares)
	a, firstA := key.Share(blob.Enc, 0)
	b, firstB := key.Share(blob.Enc, 0)
	if !firstA || !firstB {
		t.Error("claims beyond the bound")
	}
	for _, s := range []Share{a, b} {
		o, parked := s.Begin(blob.Enc, nil)
		if _, err := o.Open(nil, []byte("ssn"), blob); parked || err != nil {
			t.Error(parked, err)
		}
		o.End()
		s.Release()
	}
	c.shares.count.Store(0)
	empty(t, c)
}

// Where there is no room to hold a context, those who wait derive one after another: nobody waits for ever.
func TestWithoutRoomToShareEachDerives(t *testing.T) {
	c, key, blob := shared(t)
	damaged := blob
	damaged.CT = bytes.Clone(blob.CT)
	damaged.CT[0] ^= 1
	c.shares.arena.Destroy()
	first, second := claim(t, key, blob.Enc, true), claim(t, key, blob.Enc, false)
	o, _ := first.Begin(blob.Enc, nil)
	var b bell
	if _, parked := second.Begin(blob.Enc, &b); !parked {
		t.Fatal("not parked")
	}
	o.End()
	first.Release()
	if b.rung.Load() == 0 {
		t.Fatal("not told")
	}
	o, parked := second.Begin(blob.Enc, &b)
	if _, err := o.Open(nil, []byte("ssn"), damaged); parked || !o.Derived() || !errors.Is(err, sealed.ErrOpen) {
		t.Error(parked, o.Derived(), err)
	}
	o.End()
	second.Release()
	empty(t, c)
}

// Goroutines that share, give up and close at once; each ends, and nothing is left.
func TestSharingIsSafeBesideAPurgeAndClose(t *testing.T) {
	c, key, blob := shared(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s, _ := key.Share(blob.Enc, 0)
				for told := make(chan struct{}, 1); ; <-told {
					o, parked := s.Begin(blob.Enc, ringer(told))
					if parked {
						continue
					}
					_, _ = o.Open(nil, []byte("ssn"), blob)
					o.End()
					break
				}
				s.Release()
				runtime.Gosched()
			}
		})
	}
	c.PurgeAll()
	c.Close()
	wg.Wait()
	empty(t, c)
}

type ringer chan struct{}

func (r ringer) ContextReady() { r <- struct{}{} }
