package keys

import (
	"sync"
	"sync/atomic"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// These bound what is shared. Work beyond them is not shared, and nothing else changes.
const (
	shareShards  = 16 // a power of two
	maxShares    = 1 << 15
	maxHeld      = 4096 // contexts held for claimants
	shareQueues  = 2
	maxShareCost = maxShares*160 + maxHeld*sealed.ContextSize
)

// Parked is told, once, that [Share.Begin] is to be called again. It MUST NOT block.
type Parked interface{ ContextReady() }

// shares are the contexts that queued work is going to derive, by key and encapsulated key.
type shares struct {
	arena  *secret.Arena
	count  atomic.Int64
	shards [shareShards]shareShard
}

type shareShard struct {
	mu   sync.Mutex
	byID map[contextID]*derivation
}

// derivation is one context and the shares that claim it. The shard's lock guards its fields.
type derivation struct {
	id      contextID
	shard   *shareShard
	claims  int
	charged [shareQueues]bool
	state   derivationState
	kept    bool // in the context cache
	held    bool // slot belongs to this derivation
	slot    secret.Slot
	waits   []Parked
}

type derivationState uint8

const (
	idle    derivationState = iota // the next share that begins derives it
	running                        // some share is deriving it
	ready                          // slot holds the context
	invalid                        // there is no context for this encapsulated key
)

func (s *shares) init() error {
	var err error
	s.arena, err = secret.NewArena(sealed.ContextSize, maxHeld)
	for i := range s.shards {
		s.shards[i].byID = make(map[contextID]*derivation)
	}
	return err
}

// close wipes the held contexts. Nothing is opened any more, but claims may still be given up.
func (s *shares) close() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, d := range sh.byID {
			if d.held {
				s.arena.Free(d.slot)
			}
			d.held = false
		}
		sh.mu.Unlock()
	}
	s.arena.Destroy()
}

// Share is a claim on the context of one encapsulated key. Work that waits in a queue to open fields of that key
// holds one, and one of the claimants derives the context for all. A Share MUST be released once, and before its Key.
type Share struct {
	k Key
	d *derivation // nil: nothing is shared
}

// Share claims the context of enc for work in a queue, 0 or 1. first is false if other work of that queue claims it
// already: then that work does the key agreement, and this work costs next to nothing.
func (k Key) Share(enc []byte, queue int) (s Share, first bool) {
	all, id := &k.c.shares, k.contextID(enc)
	sh := &all.shards[int(id.enc[1])&(shareShards-1)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.byID[id]
	if d == nil {
		if all.count.Load() >= maxShares {
			return Share{k: k}, true
		}
		all.count.Add(1)
		d = &derivation{id: id, shard: sh}
		sh.byID[id] = d
	}
	first = !d.charged[queue]
	d.charged[queue] = true
	d.claims++
	return Share{k, d}, first
}

// Release gives the claim up. The last release frees what was held.
func (s Share) Release() {
	if s.d == nil {
		return
	}
	d, all := s.d, &s.k.c.shares
	d.shard.mu.Lock()
	d.claims--
	if d.claims == 0 {
		if d.held {
			all.arena.Free(d.slot)
		}
		delete(d.shard.byID, d.id)
		all.count.Add(-1)
	}
	woken := d.wake()
	d.shard.mu.Unlock()
	tell(woken)
}

// wake takes out the waiters that are to be told: all of them once the outcome is there, only the next one while
// nobody derives.
func (d *derivation) wake() (woken []Parked) {
	switch d.state {
	case running:
	case idle:
		n := min(1, len(d.waits))
		woken, d.waits = d.waits[:n:n], d.waits[n:]
	default:
		woken, d.waits = d.waits, nil
	}
	return woken
}

func tell(woken []Parked) {
	for _, w := range woken {
		w.ContextReady()
	}
}

// take looks at a derivation for a share that begins. It returns the state, and with ready the context in mem. A
// share that finds it idle must derive it. If it is running, w is kept to be told later.
func (d *derivation) take(arena *secret.Arena, mem []byte, w Parked) (state derivationState, kept bool) {
	d.shard.mu.Lock()
	defer d.shard.mu.Unlock()
	state = d.state
	switch state {
	case idle:
		d.state = running
	case running:
		d.waits = append(d.waits, w)
	case ready:
		copy(mem, arena.Bytes(d.slot))
	case invalid:
	}
	return state, d.kept
}

// settle ends the state running. The new state is ready if another share claims the context and there is room for it.
func (d *derivation) settle(arena *secret.Arena, state derivationState, mem []byte, kept bool) {
	d.shard.mu.Lock()
	d.kept = d.kept || kept
	d.state = state
	if state == ready {
		d.state = idle
		if d.claims > 1 && d.hold(arena) {
			copy(arena.Bytes(d.slot), mem)
			d.state = ready
		}
	}
	woken := d.wake()
	d.shard.mu.Unlock()
	tell(woken)
}

func (d *derivation) hold(arena *secret.Arena) bool {
	if d.held {
		return true
	}
	slot, err := arena.Alloc()
	d.slot, d.held = slot, err == nil
	return d.held
}
