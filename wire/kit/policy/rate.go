package policy

import (
	"math"
	"sync"
	"time"
)

// strictest returns the lower of each bound. o may be nil. The result is a new one, or r.
func (r *Rate) strictest(o *Rate) *Rate {
	if o == nil {
		return r
	}
	s := *o
	if r.PerSecond != 0 && (s.PerSecond == 0 || r.PerSecond < s.PerSecond ||
		r.PerSecond == s.PerSecond && r.burst() < s.burst()) {
		s.PerSecond, s.Burst = r.PerSecond, r.Burst
	}
	if r.PerDay != 0 && (s.PerDay == 0 || r.PerDay < s.PerDay) {
		s.PerDay = r.PerDay
	}
	return &s
}

func (r *Rate) burst() float64 {
	if r.Burst > 0 {
		return float64(r.Burst)
	}
	return max(1, math.Floor(r.PerSecond))
}

// Never is what [Limiter.Take] returns for more vaults than a rate ever allows at once.
const Never = time.Duration(math.MaxInt64)

// Limiter keeps rates by principal, in vaults, in one enclave: the generic cell rate algorithm. It outlives policies,
// so that a new version gives nobody a new burst. It holds a bounded number of principals. One that has used nothing
// lately is forgotten first. Several goroutines may use it.
type Limiter struct {
	mu    sync.Mutex
	most  int
	epoch time.Time // of the first Take: small numbers are exact
	cells map[string]*cell
}

// cell holds the theoretical arrival time of the next vault by each bound, in seconds since the limiter's epoch.
type cell struct{ second, day float64 }

// NewLimiter makes a limiter for this many principals, at least 1.
func NewLimiter(most int) *Limiter {
	return &Limiter{most: max(1, most), cells: map[string]*cell{}}
}

const day = 86_400

// Take counts n vaults, or none and says how long to wait. It allocates only for a principal that it does not hold.
func (l *Limiter) Take(pr *Principal, n int, now time.Time) time.Duration {
	r := pr.Rate
	if r == nil || n <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch.IsZero() {
		l.epoch = now
	}
	at := now.Sub(l.epoch).Seconds()
	c := l.cells[pr.Name]
	if c == nil {
		l.makeRoom(at)
		c = &cell{}
		l.cells[pr.Name] = c
	}
	second, wait1 := next(c.second, at, n, r.PerSecond, r.burst())
	daily, wait2 := next(c.day, at, n, float64(r.PerDay)/day, float64(r.PerDay))
	if wait := max(wait1, wait2); wait > 0 {
		return wait
	}
	c.second, c.day = second, daily
	return 0
}

// next returns the arrival time after n vaults, and how long to wait if they are too many now. rate is in vaults a
// second; 0 is no bound.
func next(tat, now float64, n int, rate, burst float64) (float64, time.Duration) {
	switch {
	case rate == 0:
		return tat, 0
	case float64(n) > burst:
		return tat, Never
	}
	tat = max(tat, now) + float64(n)/rate
	if wait := tat - now - burst/rate; wait > 1e-9 {
		return tat, time.Duration(math.Ceil(wait*1000)) * time.Millisecond
	}
	return tat, 0
}

// makeRoom forgets principals whose bounds are whole again and, if these are few, any: a quarter, so that it seldom
// looks at all of them.
func (l *Limiter) makeRoom(now float64) {
	if len(l.cells) < l.most {
		return
	}
	for name, c := range l.cells {
		if c.second <= now && c.day <= now {
			delete(l.cells, name)
		}
	}
	for name := range l.cells {
		if len(l.cells) <= l.most*3/4 {
			return
		}
		delete(l.cells, name)
	}
}
