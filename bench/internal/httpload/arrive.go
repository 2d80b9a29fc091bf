package httpload

import (
	"time"

	"redoubt/bench/internal/open"
)

// untilThen are the arrivals of a closed loop: there is always one, until a time has passed or a number has been sent.
type untilThen struct {
	end  time.Duration // 0: none
	left int64         // used when there is no end
}

func (a *untilThen) due(now time.Duration) (time.Duration, bool) {
	if a.end > 0 {
		return now, now < a.end
	}
	a.left--
	return now, a.left >= 0
}

func (*untilThen) next() (time.Duration, bool) { return 0, false }

// scheduled are those of an open loop. What waits for a line stays in the schedule.
type scheduled struct {
	schedule open.Schedule
	duration time.Duration
	at       time.Duration // of the next
	offered  int64
}

func newScheduled(o *open.Options) *scheduled {
	s := &scheduled{schedule: o.Schedule, duration: o.Duration}
	s.at = s.schedule.Next()
	return s
}

func (s *scheduled) due(now time.Duration) (time.Duration, bool) {
	at := s.at
	if at >= s.duration || at > now {
		return 0, false
	}
	s.offered++
	s.at = s.schedule.Next()
	return at, true
}

func (s *scheduled) next() (time.Duration, bool) { return s.at, s.at < s.duration }
