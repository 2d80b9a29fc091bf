package keys

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

func TestMain(m *testing.M) {
	if runChild() {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// bubble runs f in simulated time with a cache over k, which it closes.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, c *Cache, k *kms)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		c := newCache(t, cfg, k)
		defer c.Close()
		f(t, c, k)
	})
}

func TestAKeyIsUnwrappedOnceAndThenCached(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blob := v.seal(t, sealed.EncodingRecord, map[string]string{"ssn": "123456789"})["ssn"]
		for range 3 {
			key, err := c.Get(context.Background(), &v.req)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := key.Open(nil, []byte("ssn"), blob); err != nil || string(plain) != "123456789" {
				t.Fatalf("opened %d bytes, %v", len(plain), err)
			}
			key.Release()
		}
		k.wantCalls(t, 1)
	})
}

// SECURITY.md, check 25: whatever a key depends on is part of what it is kept under.
func TestAKeyAskedForOtherwiseIsAnotherKey(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		get(t, c, v)
		for what, change := range map[string]func(r *Request){
			"vault":            func(r *Request) { r.VaultID = []byte("v_2") },
			"wrapped key":      func(r *Request) { r.Wrapped = append(bytes.Clone(r.Wrapped), 0) },
			"suite":            func(r *Request) { r.Suite = sealed.P384 },
			"KMS key":          func(r *Request) { r.KeyARN += "0" },
			"key context mode": func(r *Request) { r.KeyContext = false },
			"border of vault and wrapped key": func(r *Request) {
				r.VaultID = append(bytes.Clone(r.VaultID), r.Wrapped[0])
				r.Wrapped = r.Wrapped[1:]
			},
			"border of KMS key and vault": func(r *Request) {
				r.KeyARN += string(r.VaultID[:1])
				r.VaultID = r.VaultID[1:]
			},
		} {
			other := v
			change(&other.req)
			if cached(c, other) {
				t.Errorf("another %s hits", what)
			}
		}
		if !cached(c, v) {
			t.Error("the key itself does not hit")
		}
	})
}

func TestTTLIsAbsolute(t *testing.T) {
	bubble(t, Config{TTL: time.Minute}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		get(t, c, v)
		k.set(coded(wire.KMSUnavailable)) // no refresh succeeds
		for range 59 {
			time.Sleep(time.Second)
			if !cached(c, v) {
				t.Fatal("gone before its time")
			}
		}
		time.Sleep(time.Second)
		if cached(c, v) {
			t.Error("hits prolonged its life")
		}
	})
}

// The key of an expired entry is destroyed although nobody asks for it again.
func TestExpiredKeysAreSwept(t *testing.T) {
	bubble(t, Config{TTL: time.Minute}, func(t *testing.T, c *Cache, k *kms) {
		for i := range 20 {
			v := newVault(t, "v_1")
			get(t, c, v)
			openOne(t, c, v)
			if i == 9 {
				time.Sleep(30 * time.Second)
			}
		}
		time.Sleep(32 * time.Second)
		if st := c.Stats(); st.Keys != 10 || st.Contexts != 10 || st.KeyExpirations != 10 {
			t.Errorf("after the first ten expired: %+v", st)
		}
		time.Sleep(30 * time.Second)
		if st := c.Stats(); st.Keys != 0 || st.Contexts != 0 || c.contexts.arena.InUse() != 0 {
			t.Errorf("after all expired: %+v", st)
		}
	})
}

// openOne reads a field of v so that a context is kept; it returns the blob.
func openOne(t testing.TB, c *Cache, v vault) sealed.Blob {
	t.Helper()
	blob := v.seal(t, sealed.EncodingRecord, map[string]string{"ssn": "123456789"})["ssn"]
	k, err := c.Get(context.Background(), &v.req)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release()
	if _, err := k.Open(nil, []byte("ssn"), blob); err != nil {
		t.Fatal(err)
	}
	return blob
}

// hasContext reports whether blob opens without public-key work.
func hasContext(t testing.TB, c *Cache, v vault, blob sealed.Blob) bool {
	t.Helper()
	k, ok := c.Lookup(&v.req)
	if !ok {
		return false
	}
	defer k.Release()
	_, ok, _ = k.OpenCached(nil, []byte("ssn"), blob)
	return ok
}

func TestAKeyInUseOutlivesItsEviction(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blob := v.seal(t, sealed.EncodingField, map[string]string{"ssn": "123456789"})["ssn"]
		one, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		two, ok := c.Lookup(&v.req)
		if !ok || c.PurgeAll() != 1 || cached(c, v) {
			t.Fatal("not purged")
		}
		one.Release()
		if plain, err := two.Open(nil, []byte("ssn"), blob); err != nil || string(plain) != "123456789" {
			t.Error("destroyed while in use", err)
		}
		if c.Stats().Contexts != 0 {
			t.Error("a context was kept for a key that was purged")
		}
		e := two.e
		two.Release()
		if e.refs.Load() != 0 {
			t.Error("references left")
		}
		mem := make([]byte, sealed.ContextSize)
		if _, err := e.key.Derive(mem, []byte("v_1"), blob.Enc); !errors.Is(err, sealed.ErrOpen) {
			t.Error("a destroyed key agrees on secrets", err)
		}
	})
}

// recorder is a Waiter that counts.
type recorder struct {
	mu   sync.Mutex
	keys int
	errs []wire.Code
	held []Key
	last *entry
}

func (r *recorder) KeyReady(k Key, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.errs = append(r.errs, codeOf(err))
		return
	}
	r.keys++
	r.last = k.e
	r.held = append(r.held, k)
}

func (r *recorder) release() {
	for _, k := range r.held {
		k.Release()
	}
}

func TestReleasingTwicePanics(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		key, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		c.PurgeAll()
		key.Release()
		defer func() {
			if recover() == nil {
				t.Error("unnoticed")
			}
		}()
		key.Release()
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want error
	}{
		{Config{}, nil},
		{Config{TTL: time.Millisecond}, ErrConfig},
		{Config{TTL: -1}, ErrConfig},
		{Config{MaxKeys: -1}, ErrConfig},
		{Config{MaxContexts: -1}, ErrConfig},
		{Config{MaxUnwraps: -1}, ErrConfig},
		{Config{MaxPending: -1}, ErrConfig},
		{Config{MaxWaiters: -1}, ErrConfig},
		{Config{UnwrapTimeout: -1}, ErrConfig},
		{Config{MaxKeys: 200_000, MaxContexts: 1, MemoryBudget: 512 << 20}, nil},
		{Config{MaxKeys: 1, MaxContexts: 500_000, MemoryBudget: 512 << 20}, nil},
		{Config{MaxKeys: 200_000, MaxContexts: 500_000, MemoryBudget: 512 << 20}, ErrBudget},
		{Config{MemoryBudget: 1 << 20}, ErrBudget},
	} {
		cache, err := New(context.Background(), c.cfg, &kms{})
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
		if cache != nil {
			cache.Close()
		}
	}
}
