package keys

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"redoubt/wire/kit/secret"
)

const (
	maxContextShards = 16 // a power of two
	none             = ^uint32(0)
)

// contexts keeps derived secrets of one size: HPKE contexts by key and encapsulated key, the keys of fields by key,
// encapsulated key and field name, or AES-GCM that is set up, by either. The secrets lie in an arena outside the Go
// heap. The indexes hold no pointers, so the garbage collector does not walk them.
type contexts struct {
	seeds  [4]maphash.Seed
	arena  *secret.Arena
	shards []contextShard
	alarm  alarm
	count  atomic.Int64
}

// contextID is the number of a key's entry and a 128-bit hash of the rest. The hash is seeded, and never shown to
// anyone. A collision would make an open fail; it could not open anything.
type contextID struct {
	key uint64
	enc [2]uint64
}

type contextShard struct {
	mu    sync.RWMutex
	index map[contextID]uint32
	byKey map[uint64]uint32 // first of a key's chain
	nodes []contextNode
	free  uint32
	head  uint32 // newest
	tail  uint32 // oldest
	hand  uint32
	used  int
	max   int

	hits, misses, evictions, refused atomic.Uint64
}

type contextNode struct {
	id           contextID
	slot         secret.Slot
	prev, next   uint32 // by age; the free list uses next alone
	kprev, knext uint32 // among those of one key
	visited      uint32 // atomic
}

// init prepares for at most most secrets of size bytes.
func (c *contexts) init(size, most int, tell func(Pressure)) error {
	arena, err := secret.NewArena(size, most)
	if err != nil {
		return err
	}
	c.arena = arena
	for i := range c.seeds {
		c.seeds[i] = maphash.MakeSeed()
	}
	c.alarm = alarm{bound: most, tell: tell, kind: Pressure{Contexts: true}}
	c.shards = make([]contextShard, shardCount(most, maxContextShards))
	for i := range c.shards {
		s := &c.shards[i]
		s.index, s.byKey = make(map[contextID]uint32), make(map[uint64]uint32)
		s.free, s.head, s.tail, s.hand = none, none, none, none
		s.max = shareOf(most, len(c.shards), i)
	}
	return nil
}

func (c *contexts) identify(key uint64, enc []byte) contextID {
	return contextID{key, [2]uint64{maphash.Bytes(c.seeds[0], enc), maphash.Bytes(c.seeds[1], enc)}}
}

// identifyField is identify for a field of the encapsulated key.
func (c *contexts) identifyField(key uint64, enc, name []byte) contextID {
	id := c.identify(key, enc)
	for i := range id.enc {
		id.enc[i] ^= bits.RotateLeft64(maphash.Bytes(c.seeds[2+i], name), 1)
	}
	return id
}

func (c *contexts) shard(id *contextID) *contextShard {
	return &c.shards[int(id.enc[0])&(len(c.shards)-1)]
}

// find copies a secret into dst, if it is there. often says that it was read before, lately.
func (c *contexts) find(dst []byte, id contextID) (ok, often bool) {
	s := c.shard(&id)
	s.mu.RLock()
	i, ok := s.index[id]
	if ok {
		n := &s.nodes[i]
		copy(dst, c.arena.Bytes(n.slot))
		if often = atomic.LoadUint32(&n.visited) != 0; !often {
			atomic.StoreUint32(&n.visited, 1)
		}
	}
	s.mu.RUnlock()
	return ok, often
}

// read is find, and counts whether it was there.
func (c *contexts) read(dst []byte, id contextID) (ok, often bool) {
	ok, often = c.find(dst, id)
	if s := c.shard(&id); ok {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
	return ok, often
}

// load is read for those that need not know how often.
func (c *contexts) load(dst []byte, id contextID) bool {
	ok, _ := c.read(dst, id)
	return ok
}

// store keeps a copy of src for a key that is still cached. If there is no memory, it keeps nothing.
func (c *contexts) store(e *entry, id contextID, src []byte) {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.contexts.Store(true) // before looking at dead: the goroutine that drops e sets dead first and looks at contexts then
	if _, have := s.index[id]; have || e.dead.Load() {
		return
	}
	if s.used >= s.max {
		c.evict(s)
	}
	slot, err := c.arena.Alloc()
	if err != nil {
		s.refused.Add(1)
		return
	}
	copy(c.arena.Bytes(slot), src)
	s.add(id, slot)
	c.alarm.set(int(c.count.Add(1)))
}

// evict uses SIEVE, as the key cache does.
func (c *contexts) evict(s *contextShard) {
	i := s.hand
	for step := 0; ; step++ {
		if i == none {
			i = s.tail
		}
		if atomic.SwapUint32(&s.nodes[i].visited, 0) == 0 || step == maxHandSteps {
			break
		}
		i = s.nodes[i].prev
	}
	s.hand = i
	c.remove(s, i)
	s.evictions.Add(1)
}

// remove wipes and forgets node i. The shard is locked.
func (c *contexts) remove(s *contextShard, i uint32) {
	c.arena.Free(s.nodes[i].slot)
	s.unlink(i)
	c.alarm.set(int(c.count.Add(-1)))
}

// purge wipes all contexts of a key. The key's entry is dead, so none is added afterwards.
func (c *contexts) purge(key uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for n, ok := s.byKey[key]; ok; n, ok = s.byKey[key] {
			c.remove(s, n)
		}
		s.mu.Unlock()
	}
}

func (c *contexts) close() { c.arena.Destroy() }
