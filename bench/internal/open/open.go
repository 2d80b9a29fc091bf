// Package open drives an open loop: requests start when a schedule says so, whether or not earlier ones were answered,
// as the requests of independent callers do.
//
// # Guarantee
//
// Latency is counted from the intended start. When all callers are busy, or the system stalls, what waits to be sent
// waits at its own cost: nothing is left out (no coordinated omission). How late requests were really sent is recorded
// beside it ([Result.Late]): a median far from zero says that the load's own machine was the limit.
//
// The schedule is kept by one thread of its own that sleeps in the kernel with a timer slack of a nanosecond: the Go
// runtime's timers round up to a millisecond when it idles, which is longer than what is measured here.
package open

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/bench/internal/hist"
)

// Outcome of a request that was answered.
type Outcome uint8

// The outcomes.
const (
	OK      Outcome = iota
	Refused         // the system said that it is overloaded
	Expired         // the system said that it was too late
	Outcomes
)

// Trip is one request and its answer. An error ends the run.
type Trip func() (Outcome, error)

// Options of Run.
type Options struct {
	Schedule Schedule
	Duration time.Duration
	// MaxWaiting bounds the arrivals that wait for a caller; more end the run as hopeless. Default 1 << 20.
	MaxWaiting int
}

// Result is what a run saw.
type Result struct {
	By      [Outcomes]*hist.Hist // latency from the intended start
	Service *hist.Hist           // of those that were OK: from when they were sent
	Late    *hist.Hist           // from the intended start to when it was sent
	Elapsed time.Duration        // from the first intended start to the last answer
	Offered int64
}

// Rate is the answers of an outcome per second.
func (r *Result) Rate(o Outcome) float64 { return float64(r.By[o].N()) / r.Elapsed.Seconds() }

// NewResult makes one to record in; it belongs to one goroutine.
func NewResult() *Result {
	r := &Result{Service: hist.New(), Late: hist.New()}
	for i := range r.By {
		r.By[i] = hist.New()
	}
	return r
}

// Record adds a request that was due, was sent and was answered at those times.
func (r *Result) Record(outcome Outcome, at, sent, done time.Duration) {
	r.By[outcome].Add(done - at)
	r.Late.Add(sent - at)
	if outcome == OK {
		r.Service.Add(done - sent)
	}
}

// ErrBehind is a run in which arrivals waited without bound.
var ErrBehind = errors.New("the load fell behind its schedule: too many requests wait to be sent")

// run is what the callers of a run have in common.
type run struct {
	start    time.Time
	arrivals chan time.Duration // since start
	last     atomic.Int64       // the latest answer, since start

	by            [Outcomes]*hist.Shards
	service, late *hist.Shards
}

func newRun(callers, waiting int) *run {
	p := &run{
		arrivals: make(chan time.Duration, waiting), service: hist.NewShards(callers), late: hist.NewShards(callers),
	}
	for i := range p.by {
		p.by[i] = hist.NewShards(callers)
	}
	return p
}

func (p *run) result() *Result {
	r := &Result{Service: p.service.Merged(), Late: p.late.Merged()}
	for i := range p.by {
		r.By[i] = p.by[i].Merged()
	}
	return r
}

// Run offers load for o.Duration; each trip is a caller that takes the next arrival when it is free. It returns when
// all that was offered is answered.
func Run(ctx context.Context, o Options, trips []Trip) (*Result, error) {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 1 << 20
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newRun(len(trips), o.MaxWaiting)
	p.start = time.Now()
	var wg sync.WaitGroup
	for i, trip := range trips {
		wg.Go(func() {
			if err := p.serve(i, trip, ctx.Done()); err != nil {
				cancel(err)
			}
		})
	}
	offered := dispatch(ctx, cancel, p.start, &o, p.arrivals)
	close(p.arrivals)
	wg.Wait()
	r := p.result()
	r.Offered, r.Elapsed = offered, max(o.Duration, time.Duration(p.last.Load()))
	return r, context.Cause(ctx)
}

// serve is caller i.
func (p *run) serve(i int, trip Trip, stop <-chan struct{}) error {
	for at := range p.arrivals {
		select {
		case <-stop:
			return nil
		default:
		}
		sent := time.Since(p.start)
		outcome, err := trip()
		if err != nil {
			return err
		}
		done := time.Since(p.start)
		p.by[outcome].Add(i, done-at)
		p.late.Add(i, sent-at)
		if outcome == OK {
			p.service.Add(i, done-sent)
		}
		for old := p.last.Load(); int64(done) > old && !p.last.CompareAndSwap(old, int64(done)); old = p.last.Load() {
		}
	}
	return nil
}

// dispatch hands out the arrivals at their times and returns how many there were.
func dispatch(ctx context.Context, cancel context.CancelCauseFunc, start time.Time, o *Options,
	arrivals chan<- time.Duration,
) (n int64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)   // where it is refused, arrivals are a little late,
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) //nolint:errcheck // which Late shows
	for at := o.Schedule.Next(); at < o.Duration; at = o.Schedule.Next() {
		if ctx.Err() != nil {
			return n
		}
		sleepUntil(start, at)
		select {
		case arrivals <- at:
			n++
		default:
			cancel(ErrBehind)
			return n
		}
	}
	return n
}

// sleepUntil sleeps in the kernel.
func sleepUntil(start time.Time, at time.Duration) {
	for left := at - time.Since(start); left > 0; left = at - time.Since(start) {
		ts := unix.NsecToTimespec(int64(left))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
