package expr

import (
	"sync"
	"sync/atomic"
)

// cache maps keys to immutable values within a bound on their estimated size. It evicts by second chance: a hit only
// sets a bit under a read lock, and an entry that was hit since the hand last passed it stays for another round.
type cache[V any] struct {
	bound int

	mu      sync.RWMutex
	size    int
	entries map[string]*cacheEntry[V]
	ring    []*cacheEntry[V]
	hand    int
}

type cacheEntry[V any] struct {
	key   string
	value V
	size  int
	used  atomic.Bool
}

// entryOverhead is what an entry costs beside its key and value: map slot, ring slot, the entry itself.
const entryOverhead = 128

func newCache[V any](bound int) *cache[V] {
	return &cache[V]{bound: bound, entries: make(map[string]*cacheEntry[V])}
}

// get returns the value for key. It neither keeps key nor allocates.
func (c *cache[V]) get(key []byte) (V, bool) {
	c.mu.RLock()
	e, ok := c.entries[string(key)]
	c.mu.RUnlock()
	if !ok {
		var zero V
		return zero, false
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.value, true
}

// put stores value under a copy of key, unless value alone would take more than an eighth of the bound.
func (c *cache[V]) put(key []byte, value V, size int) {
	size += len(key) + entryOverhead
	if size > c.bound/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[string(key)]; ok {
		return
	}
	for c.size+size > c.bound && len(c.ring) > 0 {
		c.evict()
	}
	e := &cacheEntry[V]{key: string(key), value: value, size: size}
	c.entries[e.key] = e
	c.ring = append(c.ring, e)
	c.size += size
}

// evict removes one entry. It terminates, since each entry that it passes over loses its second chance.
func (c *cache[V]) evict() {
	for {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		e := c.ring[c.hand]
		if e.used.Swap(false) {
			c.hand++
			continue
		}
		last := len(c.ring) - 1
		c.ring[c.hand] = c.ring[last]
		c.ring[last] = nil
		c.ring = c.ring[:last]
		delete(c.entries, e.key)
		c.size -= e.size
		return
	}
}
