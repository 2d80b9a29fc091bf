package envelope

import (
	"encoding/binary"
	"sync"
	"time"
)

const (
	// ReplayWindow is how long a request can come again: its time may be [MaxSkew] ahead when it comes first.
	ReplayWindow = 2 * MaxSkew

	replayShards = 64
	replayWays   = 8 // requests of one set
)

// Replays remembers requests, so that rates count one that comes again once. It is a table of fixed size: under more
// requests than it holds in [ReplayWindow], the oldest are forgotten, and count again. It is no defence by itself: a
// request that comes again is answered, to its own sender. Several goroutines may use it.
//
// A set is chosen by the request's ID, a hash that a sender can choose at some cost. What he can gain is that his own
// requests are forgotten, and count again.
type Replays struct {
	sets   []replaySet
	shards [replayShards]sync.Mutex
}

type replaySet struct {
	ids  [replayWays]ID
	seen [replayWays]int64 // Unix seconds; 0 for none
}

// NewReplays makes a table for at least n requests, 24 bytes each.
func NewReplays(n int) *Replays {
	sets := 1
	for sets*replayWays < n {
		sets *= 2
	}
	return &Replays{sets: make([]replaySet, sets)}
}

// First reports whether the request is new, and remembers it. It allocates nothing.
func (t *Replays) First(id ID, now time.Time) bool {
	i := binary.BigEndian.Uint64(id[:]) & uint64(len(t.sets)-1)
	mu := &t.shards[i%replayShards]
	mu.Lock()
	defer mu.Unlock()
	return t.sets[i].first(id, now.Unix())
}

func (s *replaySet) first(id ID, now int64) bool {
	oldest := 0
	for i, at := range s.seen {
		if at != 0 && s.ids[i] == id && now-at <= int64(ReplayWindow/time.Second) {
			return false
		}
		if at < s.seen[oldest] {
			oldest = i
		}
	}
	s.ids[oldest], s.seen[oldest] = id, now
	return true
}
