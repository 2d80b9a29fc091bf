package auth

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"redoubt/wire/kit/program"
)

// maxLimiters bounds the principals whose limiters are kept. A limiter that is full again is dropped first.
const maxLimiters = 10_000

// Bounds of a rate, in decrypts a second. A burst is at most MaxRate too.
const (
	MinRate = 0.000001
	MaxRate = 1_000_000
)

// Rate is a token bucket: PerSecond decrypts on average, up to Burst at once (default: PerSecond, at least 1).
type Rate struct {
	// PerSecond is the decrypts per second on average, 0.000001 to 1000000.
	PerSecond float64 `yaml:"per_second" json:"per_second"`
	// Burst is how many may come at once, 0 to 1000000. 0: as many as come in a second, at least 1.
	Burst int `yaml:"burst" json:"burst,omitempty"`
}

func (r *Rate) check() error {
	if r != nil && (!program.Within(r.PerSecond, MinRate, MaxRate) || !program.Within(r.Burst, 0, MaxRate)) {
		return errors.New("auth: decrypt_rate: per_second must be 0.000001 to 1000000, burst 0 to 1000000")
	}
	return nil
}

func (r *Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(1, int(r.PerSecond))
}

// Limiter holds a bucket per principal. It is safe for concurrent use.
type Limiter struct {
	rate func(*Principal) *Rate // nil for none
	now  func() time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	*rate.Limiter
	of Rate
}

// NewLimiter limits decrypts by each principal's own rate and by the policy, which may be nil.
func NewLimiter(p *Policy, now func() time.Time) *Limiter {
	return &Limiter{rate: p.rate, now: now, buckets: make(map[string]*bucket)}
}

// NewFixedLimiter limits every principal alike.
func NewFixedLimiter(r Rate, now func() time.Time) *Limiter {
	return &Limiter{rate: func(*Principal) *Rate { return &r }, now: now, buckets: make(map[string]*bucket)}
}

// Wait takes one token and returns 0. If there is none, it returns how long until there is one, and takes none.
func (l *Limiter) Wait(pr *Principal) time.Duration {
	r := l.rate(pr)
	if r == nil {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[pr.Name]
	if b == nil || b.of != *r {
		l.makeRoom(now)
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(r.PerSecond), r.burst()), of: *r}
		l.buckets[pr.Name] = b
	}
	res := b.ReserveN(now, 1)
	wait := res.DelayFrom(now)
	if wait > 0 {
		res.CancelAt(now)
	}
	return wait
}

// makeRoom drops buckets that hold no memory of use and, if these are few, any. It drops a quarter at least, so that
// it seldom has to examine all of them.
func (l *Limiter) makeRoom(now time.Time) {
	if len(l.buckets) < maxLimiters {
		return
	}
	for name, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, name)
		}
	}
	for name := range l.buckets {
		if len(l.buckets) <= maxLimiters*3/4 {
			return
		}
		delete(l.buckets, name)
	}
}
