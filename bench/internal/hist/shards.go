package hist

import (
	"sync"
	"time"
)

// Shards is a distribution that many goroutines record in: a few histograms that they share, since one takes a quarter
// of a MiB, and making one for each of a thousand callers would itself be the load.
type Shards struct{ shards []shard }

type shard struct {
	sync.Mutex
	h *Hist
	_ [48]byte // so that neighbours do not share a cache line
}

// maxShards is enough that goroutines on a few CPUs hardly meet.
const maxShards = 8

// NewShards makes an empty distribution for n goroutines.
func NewShards(n int) *Shards {
	s := &Shards{shards: make([]shard, max(1, min(n, maxShards)))}
	for i := range s.shards {
		s.shards[i].h = New()
	}
	return s
}

// Add records a duration for goroutine i.
func (s *Shards) Add(i int, d time.Duration) {
	part := &s.shards[i%len(s.shards)]
	part.Lock()
	part.h.Add(d)
	part.Unlock()
}

// Merged gives all that was recorded, once nobody records any more. The shards are then used up.
func (s *Shards) Merged() *Hist {
	all := s.shards[0].h
	for i := range s.shards[1:] {
		all.Merge(s.shards[i+1].h)
	}
	return all
}
