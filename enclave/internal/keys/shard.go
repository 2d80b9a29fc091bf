package keys

import (
	"sync"
	"sync/atomic"

	"redoubt/wire"
)

const (
	maxKeyShards = 64 // a power of two, at most 256
	// maxHandSteps bounds the search for a victim, so that a cache full of used entries is not walked as a whole.
	maxHandSteps = 32
	// maxNegatives bounds the negative entries of a shard; the oldest goes first.
	maxNegatives = 256
)

// Indexes into entry.links.
const (
	inAge    = iota // newest first: the order of eviction
	inExpiry        // latest to expire first: the order of expiry, since every entry lives equally long
)

// shard is a part of the key cache with a lock of its own. A lookup takes the lock shared and writes only a flag of
// the entry. Eviction is SIEVE (Zhang et al., NSDI 2024): a hand walks from old to new, spares entries that were used
// since it last passed, and takes the first that was not. So a scan over many new keys does not flush those in use.
type shard struct {
	mu        sync.RWMutex
	keys      map[identity]*entry
	age       list
	expiry    list
	hand      *entry
	calls     map[identity]*call
	negatives negatives
	max       int

	hits, misses, evictions, expirations, negativeHits atomic.Uint64
}

func (s *shard) init(maxKeys int) {
	s.keys = make(map[identity]*entry)
	s.calls = make(map[identity]*call)
	s.age.which, s.expiry.which = inAge, inExpiry
	s.max = maxKeys
	s.negatives.init()
}

// insert adds e. It returns the entry that was evicted for it, if any; the caller drops that entry once the lock is
// free.
func (s *shard) insert(e *entry) (victim *entry) {
	if len(s.keys) >= s.max {
		victim = s.evict()
	}
	s.keys[e.hash] = e
	s.age.pushHead(e)
	s.expiry.pushHead(e)
	return victim
}

// evict chooses and removes an entry. It takes at most maxHandSteps steps.
func (s *shard) evict() *entry {
	e := s.hand
	for step := 0; ; step++ {
		if e == nil {
			e = s.age.tail
		}
		if !e.visited.Swap(false) || step == maxHandSteps {
			break
		}
		e = e.links[inAge].prev
	}
	s.hand = e
	s.remove(e)
	s.evictions.Add(1)
	return e
}

// remove takes e out of the shard. The caller owns the shard's reference afterwards.
func (s *shard) remove(e *entry) {
	if s.hand == e {
		s.hand = e.links[inAge].prev
	}
	e.dead.Store(true)
	delete(s.keys, e.hash)
	s.age.remove(e)
	s.expiry.remove(e)
}

// renew gives e another life after KMS allowed its use again.
func (s *shard) renew(e *entry, expires, refreshAt int64) {
	e.expires.Store(expires)
	e.refreshAt.Store(refreshAt)
	s.expiry.remove(e)
	s.expiry.pushHead(e)
}

// expired removes and returns one entry that has expired, or nil.
func (s *shard) expired(now int64) *entry {
	e := s.expiry.tail
	if e == nil || e.expires.Load() > now {
		return nil
	}
	s.remove(e)
	s.expirations.Add(1)
	return e
}

// negatives remembers failures for a short time, in a ring of fixed size.
type negatives struct {
	byID map[failedKey]int
	ring []negative
	next int
}

// failedKey is a key together with the credentials that failed for it. With 0 every request for the key fails.
type failedKey struct {
	id identity
	by uint64
}

type negative struct {
	key   failedKey
	vault string
	until int64
	err   wire.Error
	used  bool
}

func (n *negatives) init() { n.byID = make(map[failedKey]int) }

func (n *negatives) add(v negative) {
	v.used = true
	i, known := n.byID[v.key]
	switch {
	case known:
	case len(n.ring) < maxNegatives:
		i = len(n.ring)
		n.ring = append(n.ring, negative{})
	default:
		i = n.next
		n.next = (n.next + 1) % maxNegatives
		n.forget(i)
	}
	n.ring[i] = v
	n.byID[v.key] = i
}

func (n *negatives) forget(i int) {
	if n.ring[i].used {
		delete(n.byID, n.ring[i].key)
		n.ring[i] = negative{}
	}
}

func (n *negatives) remove(k failedKey) {
	if i, ok := n.byID[k]; ok {
		n.forget(i)
	}
}

// get returns the failure that a request with these credentials would meet.
func (n *negatives) get(id identity, by uint64, now int64) (*wire.Error, bool) {
	for _, k := range [...]failedKey{{id, 0}, {id, by}} {
		i, ok := n.byID[k]
		if !ok {
			continue
		}
		if n.ring[i].until > now {
			return &n.ring[i].err, true
		}
		n.forget(i)
	}
	return nil, false
}

// drop forgets the failures for which match returns true.
func (n *negatives) drop(match func(*negative) bool) {
	for i := range n.ring {
		if n.ring[i].used && match(&n.ring[i]) {
			n.forget(i)
		}
	}
}
