package expr

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestCacheStaysWithinItsBound and never gives a value for another key, whatever is put and asked for.
func TestCacheStaysWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCache[string](10_000)
		for range rapid.IntRange(1, 300).Draw(t, "operations") {
			key := fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "key"))
			if v, ok := c.get([]byte(key)); ok && v != "value of "+key {
				t.Fatalf("%s: %s", key, v)
			}
			c.put([]byte(key), "value of "+key, rapid.IntRange(0, 2000).Draw(t, "size"))
			total := 0
			for _, e := range c.ring {
				total += e.size
			}
			if c.size > c.bound || total != c.size || len(c.ring) != len(c.entries) {
				t.Fatalf("size %d, bound %d, sum %d, %d in the ring, %d in the map", c.size, c.bound, total, len(c.ring), len(c.entries))
			}
		}
	})
}

// TestCacheKeepsWhatIsUsed while others come and go.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache[int](20 * 1000)
	c.put([]byte("hot"), 1, 500)
	for i := range 1000 {
		if _, ok := c.get([]byte("hot")); !ok {
			t.Fatalf("evicted after %d others", i)
		}
		c.put(fmt.Append(nil, "cold", i), 2, 500)
	}
	if _, ok := c.get([]byte("cold0")); ok {
		t.Error("what is not used is kept")
	}
}

// TestCacheRefusesWhatIsTooLarge to be worth what it would evict.
func TestCacheRefusesWhatIsTooLarge(t *testing.T) {
	c := newCache[int](8000)
	c.put([]byte("k"), 1, 1000)
	if _, ok := c.get([]byte("k")); ok || c.size != 0 {
		t.Error("kept")
	}
}

// TestCacheConcurrently is for the race detector.
func TestCacheConcurrently(t *testing.T) {
	c := newCache[int](5000)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				key := fmt.Append(nil, (i*7+g)%60)
				if v, ok := c.get(key); ok && v != (i*7+g)%60 {
					t.Errorf("%s: %d", key, v)
				}
				c.put(key, (i*7+g)%60, 100)
			}
		})
	}
	wg.Wait()
}

// TestCachesAreBoundedAgainstHostileSources: ten thousand different expressions and shapes leave the caches within their
// bounds.
func TestCachesAreBoundedAgainstHostileSources(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Cache: 1 << 20}})
	for i := range 10_000 {
		eval1(t, e, documented, fmt.Sprintf("name + '%d' + [%d].size()", i, i))
	}
	if e.programs.size > 1<<20 || e.plans.size > 1<<20 || len(e.programs.entries) > 1000 {
		t.Errorf("programs %d bytes, plans %d bytes, %d programs", e.programs.size, e.plans.size, len(e.programs.entries))
	}
}

// TestSizeEstimatesCoverTheHeap: what programs hold is no more than what the cache counts for them.
func TestSizeEstimatesCoverTheHeap(t *testing.T) {
	e := newTest(t, Config{})
	for _, source := range []string{
		"name", "date(dob).age() >= 18u ? email : 'hidden'", "[1, 2, 3].map(x, [x].filter(y, y > 1))",
		numbers(1000), "{" + strings.Repeat("1: 'a', ", 400) + "2: 'b'}", "name" + strings.Repeat(" + name.first(1)", 90),
		"'" + strings.Repeat("x", 9000) + "'", "[" + strings.Repeat("a == b ? c : d, ", 200) + "1]",
	} {
		const n = 200
		programs := make([]*program, n)
		before := heapInUse()
		sum := 0
		for i := range programs {
			programs[i] = e.compile(source)
			sum += programs[i].size + programBytes + len(source)
		}
		if held := heapInUse() - before; held > sum {
			t.Errorf("%.40s: %d bytes each, counted as %d", source, held/n, sum/n)
		}
		runtime.KeepAlive(programs)
	}
}

func heapInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
