//go:build dev

package simulate

import (
	"math/rand/v2"
	"sync"
	"time"

	"redoubt/api/apid"
)

// storeFaults decides which calls of the API's store fail, and remembers which audit entries were kept.
type storeFaults struct {
	w *world

	mu    sync.Mutex
	rng   *rand.Rand
	fail  time.Time // until then calls fail before they do anything
	stall time.Time // until then calls take stallBy longer
	by    time.Duration
	lose  time.Time         // until then acknowledgements are lost
	kept  map[string]string // event of the entries that were kept, by reason
}

func (s *storeFaults) init(w *world) {
	s.w, s.kept = w, map[string]string{}
	s.rng = rand.New(rand.NewPCG(w.seed, stream("store")))
}

// Judge implements apid.Judge. Half of the calls are spared, so that some requests get through.
func (s *storeFaults) Judge(operation string) (v apid.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.rng.IntN(2) == 0 {
		return v
	}
	if now.Before(s.stall) {
		v.Stall = s.by
		s.w.count("store.stalled")
	}
	switch {
	case now.Before(s.fail):
		v.Before = apid.ErrUnavailable
		if s.rng.IntN(2) == 0 {
			v.Before = apid.ErrThrottled
		}
		s.w.count("store.failed")
	case now.Before(s.lose) && writes[operation]:
		v.After = apid.ErrUnknownOutcome
		s.w.count("store.lost")
	}
	return v
}

// writes are the operations that have an acknowledgement to lose.
var writes = map[string]bool{"Create": true, "Update": true, "Delete": true, "AppendAudit": true, "PutCheckpoint": true}

// Kept implements apid.Judge.
func (s *storeFaults) Kept(_, event, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason != "" {
		s.kept[reason] = event
	}
}

// audited reports whether an entry with that reason was kept.
func (s *storeFaults) audited(reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.kept[reason]
	return ok
}

func (s *storeFaults) change(f func(s *storeFaults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *storeFaults) heal() {
	s.change(func(s *storeFaults) { s.fail, s.stall, s.lose = time.Time{}, time.Time{}, time.Time{} })
}
