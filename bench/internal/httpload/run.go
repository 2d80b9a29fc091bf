package httpload

import (
	"context"
	"net/http"
	"time"

	"redoubt/bench/internal/measure"
)

// Load is a source of requests and the callers that send them.
type Load struct {
	endpoint *Endpoint
	source   *Source
	callers  []*caller
	lines    []*line // of the callers, once there was a loop
}

// caller is a connection with its choice of requests.
type caller struct {
	conn *conn
	pick *picker
}

// NewLoad makes n callers.
func NewLoad(t *Target, s *Source, n int, seed uint64) *Load {
	l := &Load{endpoint: t.Endpoint, source: s}
	for i := range n {
		l.callers = append(l.callers, &caller{conn: t.Endpoint.newConn(), pick: s.picker(seed, uint64(i))})
	}
	return l
}

// connect opens the connections that are not open, so that a run does not begin with that.
func (l *Load) connect() error {
	for _, c := range l.callers {
		if c.conn.c != nil {
			continue
		}
		if err := c.conn.dial(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the connections.
func (l *Load) Close() {
	for _, c := range l.callers {
		c.conn.close()
	}
	for _, c := range l.lines {
		c.close()
	}
}

// Warm sends each request once. So everything that can be cached is, and each answer has been checked against the
// plaintexts.
func (l *Load) Warm() error {
	next := make(chan *Request)
	errs := make(chan error, len(l.callers))
	done := make(chan struct{})
	defer close(done)
	go func() {
		defer close(next)
		for _, r := range l.source.requests {
			select {
			case next <- r:
			case <-done:
				return
			}
		}
	}()
	workers := min(len(l.callers), 16)
	for _, c := range l.callers[:workers] {
		go func() {
			for r := range next {
				if _, err := c.send(r, false); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// Fetch sends the first request of a source and returns its answer, checked.
func Fetch(t *Target, s *Source) ([]byte, error) {
	c := t.Endpoint.newConn()
	defer c.close()
	a, err := c.do(s.requests[0].raw)
	if err != nil {
		return nil, err
	}
	_, err = s.requests[0].outcome(&a, false)
	return a.body, err
}

// send sends a request and checks the answer. Refusals count as outcomes only if they are expected.
func (c *caller) send(r *Request, refusable bool) (measure.Outcome, error) {
	a, err := c.conn.do(r.raw)
	if err != nil {
		return 0, err
	}
	return r.outcome(&a, refusable)
}

// outcome judges an answer.
func (r *Request) outcome(a *answered, refusable bool) (measure.Outcome, error) {
	switch {
	case a.status == http.StatusOK:
		return measure.OK, r.check(a.body)
	case refusable && a.status == http.StatusServiceUnavailable:
		return measure.Refused, nil
	case refusable && a.status == http.StatusGatewayTimeout:
		return measure.Expired, nil
	}
	return 0, a.statusError()
}

// Trips are the callers, each with a connection of its own, for a closed loop in which nothing may be refused.
func (l *Load) Trips() []measure.Trip {
	out := make([]measure.Trip, len(l.callers))
	for i, c := range l.callers {
		out[i] = func() error {
			_, err := c.send(c.pick.next(), false)
			return err
		}
	}
	return out
}

// Closed keeps a request of each caller in flight for d. A refusal is counted, and its caller sends the next request at
// once.
func (l *Load) Closed(ctx context.Context, d time.Duration) (*measure.ClosedRun, error) {
	if l.endpoint.tls != nil {
		trips := make([]measure.Trip, len(l.callers))
		for i, c := range l.callers {
			trips[i] = func() error {
				o, err := c.send(c.pick.next(), true)
				if err == nil && o != measure.OK {
					return measure.ErrRefused
				}
				return err
			}
		}
		return measure.ClosedFor(trips, d)
	}
	return l.closed(ctx, &untilThen{end: d}, true)
}

// ClosedCount does the same until n requests have been sent. The first refusal ends it: it is for loads of which all
// must be answered.
func (l *Load) ClosedCount(ctx context.Context, n int64) (*measure.ClosedRun, error) {
	if l.endpoint.tls != nil {
		return measure.ClosedCount(l.Trips(), n)
	}
	return l.closed(ctx, &untilThen{left: n}, false)
}

func (l *Load) closed(ctx context.Context, a arrivals, refusable bool) (*measure.ClosedRun, error) {
	r := &measure.ClosedRun{Hist: measure.NewHist()}
	last, err := l.loop(ctx, a, refusable, func(o measure.Outcome, at, _, done time.Duration) {
		if o != measure.OK {
			r.Refused++
			return
		}
		r.Hist.Add(done - at)
	})
	r.N, r.Elapsed = r.Hist.N(), last
	return r, err
}

// Open sends requests when a schedule says so, whether earlier ones were answered or not. A refusal of the system is
// an outcome like any other.
func (l *Load) Open(ctx context.Context, o measure.OpenOptions) (*measure.OpenRun, error) {
	if l.endpoint.tls != nil {
		if err := l.connect(); err != nil {
			return nil, err
		}
		return measure.Open(ctx, o, l.openTrips())
	}
	a, r := newScheduled(&o), measure.NewOpenRun()
	last, err := l.loop(ctx, a, true, r.Record)
	r.Offered, r.Elapsed = a.offered, max(o.Duration, last)
	return r, err
}

// loop runs all callers on one thread.
func (l *Load) loop(
	ctx context.Context, a arrivals, refusable bool, done func(o measure.Outcome, at, sent, done time.Duration),
) (last time.Duration, err error) {
	for _, c := range l.callers[len(l.lines):] {
		l.lines = append(l.lines, &line{caller: c, fd: -1})
	}
	for _, c := range l.lines {
		if c.fd < 0 {
			if err := c.dial(); err != nil {
				return 0, err
			}
		}
	}
	driver := loop{arrivals: a, refusable: refusable, done: done, lines: l.lines}
	return driver.run(ctx)
}

// openTrips are the callers for an open loop.
func (l *Load) openTrips() []measure.OpenTrip {
	out := make([]measure.OpenTrip, len(l.callers))
	for i, c := range l.callers {
		out[i] = func() (measure.Outcome, error) { return c.send(c.pick.next(), true) }
	}
	return out
}

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

// scheduled are the arrivals of an open loop. A request that waits for a line stays in the schedule.
type scheduled struct {
	schedule measure.Schedule
	duration time.Duration
	at       time.Duration // of the next
	offered  int64
}

func newScheduled(o *measure.OpenOptions) *scheduled {
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
