package keys

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"redoubt/wire/kit/sealed"
)

// flood offers keys that cost no unwrap: entries made directly, as many as a test likes.
func flood(c *Cache, v vault, n int) {
	for i := range n {
		r := v.req
		r.Wrapped = binary.BigEndian.AppendUint64(bytes.Clone(r.Wrapped), uint64(i))
		id := c.identify(&r)
		s := c.shard(&id)
		key, err := sealed.ParsePrivateKey(v.req.Suite, v.req.Wrapped)
		if err != nil {
			panic(err)
		}
		s.mu.Lock()
		_, victim := c.keep(s, &call{id: id, req: r}, key, c.now(), 0)
		s.mu.Unlock()
		c.drop(victim)
	}
}

func TestKeysAreBoundedByCount(t *testing.T) {
	for _, most := range []int{1, 2, 15, 16, 100, 1000} {
		c := newCache(t, Config{MaxKeys: most}, &kms{})
		flood(c, newVault(t, "v_1"), 3*most)
		st := c.Stats()
		if st.Keys > most || st.Keys < most*3/4 || int(st.KeyEvictions) != 3*most-st.Keys {
			t.Errorf("bound %d: %+v", most, st)
		}
		c.Close()
	}
}

// SECURITY.md, check 27: a scan over keys that are used once does not flush those in use.
func TestAFloodOfKeysSparesThoseInUse(t *testing.T) {
	c := newCache(t, Config{MaxKeys: 1024}, &kms{})
	defer c.Close()
	var hot []vault
	for range 100 {
		v := newVault(t, "v_hot")
		get(t, c, v)
		hot = append(hot, v)
	}
	scan := newVault(t, "v_scan")
	lost := 0
	for round := range 20 {
		for _, v := range hot {
			if !cached(c, v) {
				lost++
				get(t, c, v)
			}
		}
		flood(c, vaultOf(scan, round), 500)
	}
	// Now more new keys than the cache holds, between two uses: the least recently used would be the hot ones.
	for _, v := range hot {
		cached(c, v)
	}
	flood(c, vaultOf(scan, 99), 1100)
	kept := 0
	for _, v := range hot {
		if cached(c, v) {
			kept++
		}
	}
	if lost > 5 || kept < 60 {
		t.Errorf("%d of 2000 hits lost to the scan, %d of 100 survive a flood larger than the cache", lost, kept)
	}
}

func vaultOf(v vault, n int) vault {
	v.req.VaultID = fmt.Appendf(nil, "v_%d", n)
	return v
}

// When everything was used since the hand last came by, eviction still looks at a bounded number of entries.
func TestEvictionLooksAtFewEntries(t *testing.T) {
	c := newCache(t, Config{MaxKeys: 4096}, &kms{})
	defer c.Close()
	v := newVault(t, "v_1")
	flood(c, v, 4096)
	for i := range c.shards {
		for _, e := range c.shards[i].keys {
			e.visited.Store(true)
		}
	}
	s := &c.shards[0]
	s.mu.Lock()
	before := len(s.keys)
	victim := s.evict()
	left := 0
	for _, e := range s.keys {
		if e.visited.Load() {
			left++
		}
	}
	s.mu.Unlock()
	c.drop(victim)
	if looked := before - left; looked < 1 || looked > maxHandSteps+1 {
		t.Errorf("looked at %d of %d", looked, before)
	}
}

func TestShardsCannotBeChosenFromOutside(t *testing.T) {
	v := newVault(t, "v_1")
	same := 0
	for range 16 {
		a, b := newCache(t, Config{}, &kms{}), newCache(t, Config{}, &kms{})
		ia, ib := a.identify(&v.req), b.identify(&v.req)
		if ia == ib {
			same++
		}
		a.Close()
		b.Close()
	}
	if same != 0 {
		t.Error("the same request has the same place in every process")
	}
}

func TestPressureIsToldOnceAndAgainAfterRelief(t *testing.T) {
	var told []Pressure
	c := newCache(t, Config{MaxKeys: 10, MaxContexts: 10, Pressure: func(p Pressure) { told = append(told, p) }}, &kms{})
	defer c.Close()
	v := newVault(t, "v_1")
	for i := range 30 {
		flood(c, vaultOf(v, i), 1)
	}
	if len(told) != 1 || told[0] != (Pressure{Used: 9, Bound: 10}) {
		t.Errorf("%+v", told)
	}
	c.PurgeAll()
	flood(c, v, 9)
	if len(told) != 2 {
		t.Errorf("%+v", told)
	}
	c.PurgeAll()
	for range 12 {
		openOne(t, c, v)
	}
	if len(told) != 3 || told[2] != (Pressure{Contexts: true, Used: 9, Bound: 10}) {
		t.Errorf("%+v", told)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	c := newCache(t, Config{}, &kms{})
	defer c.Close()
	v, missing := newVault(t, "v_1"), newVault(t, "v_2")
	get(t, c, v)
	if n := testing.AllocsPerRun(100, func() { cached(c, v) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { cached(c, missing) }); n != 0 {
		t.Errorf("a miss allocates %v times", n)
	}
}

func TestCachedOpenAllocatesNothingOfOurs(t *testing.T) {
	c := newCache(t, Config{}, &kms{})
	defer c.Close()
	v := newVault(t, "v_1")
	k, err := c.Get(context.Background(), &v.req)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release()
	name, dst := []byte("ssn"), make([]byte, 0, 64)
	for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		blob := v.seal(t, e, map[string]string{"ssn": "123456789"})["ssn"]
		if _, err := k.Open(nil, name, blob); err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if _, ok, err := k.OpenCached(dst, name, blob); !ok || err != nil {
				t.Fatal(ok, err)
			}
		})
		if n > 2 { // the AEAD's set-up, see package sealed
			t.Errorf("encoding %d: %v allocations", e, n)
		}
	}
}
