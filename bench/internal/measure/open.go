package measure

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
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

// OpenTrip is one request of an open loop and its answer. An error ends the run.
type OpenTrip func() (Outcome, error)

// OpenOptions are those of Open.
type OpenOptions struct {
	Schedule Schedule
	Duration time.Duration
	// MaxWaiting bounds the arrivals that wait for a caller. If there are more, the run ends as hopeless. Default 1
	// << 20.
	MaxWaiting int
}

// OpenRun is the result of an open loop.
type OpenRun struct {
	By      [Outcomes]*Hist // latency from the intended start
	Service *Hist           // of those that were OK: from when they were sent
	Late    *Hist           // from the intended start to when it was sent
	Elapsed time.Duration   // from the first intended start to the last answer
	Offered int64
}

// Rate is the answers of an outcome per second.
func (r *OpenRun) Rate(o Outcome) float64 { return float64(r.By[o].N()) / r.Elapsed.Seconds() }

// NewOpenRun makes one to record in; it belongs to one goroutine.
func NewOpenRun() *OpenRun {
	r := &OpenRun{Service: NewHist(), Late: NewHist()}
	for i := range r.By {
		r.By[i] = NewHist()
	}
	return r
}

// Record adds a request that was due, was sent and was answered at those times.
func (r *OpenRun) Record(outcome Outcome, at, sent, done time.Duration) {
	r.By[outcome].Add(done - at)
	r.Late.Add(sent - at)
	if outcome == OK {
		r.Service.Add(done - sent)
	}
}

// ErrBehind reports a run in which arrivals waited without bound.
var ErrBehind = errors.New("the load fell behind its schedule: too many requests wait to be sent")

// openLoop is what the callers of a run have in common.
type openLoop struct {
	start    time.Time
	arrivals chan time.Duration // since start
	last     atomic.Int64       // the latest answer, since start

	by            [Outcomes]*Shards
	service, late *Shards
}

func newOpenLoop(callers, waiting int) *openLoop {
	p := &openLoop{
		arrivals: make(chan time.Duration, waiting), service: NewShards(callers), late: NewShards(callers),
	}
	for i := range p.by {
		p.by[i] = NewShards(callers)
	}
	return p
}

func (p *openLoop) result() *OpenRun {
	r := &OpenRun{Service: p.service.Merged(), Late: p.late.Merged()}
	for i := range p.by {
		r.By[i] = p.by[i].Merged()
	}
	return r
}

// Open offers load for o.Duration. Each trip is a caller that takes the next arrival when it is free. Open returns
// when everything that was offered is answered.
func Open(ctx context.Context, o OpenOptions, trips []OpenTrip) (*OpenRun, error) {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 1 << 20
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newOpenLoop(len(trips), o.MaxWaiting)
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
func (p *openLoop) serve(i int, trip OpenTrip, stop <-chan struct{}) error {
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
func dispatch(ctx context.Context, cancel context.CancelCauseFunc, start time.Time, o *OpenOptions,
	arrivals chan<- time.Duration,
) (n int64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)   // if it is refused, arrivals are a little late,
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

// Schedule gives the intended start of each arrival, as time since the run's start. It depends only on its fields, so
// that a run can be repeated. The zero value is not useful: set Rate.
type Schedule struct {
	Rate float64 // arrivals per second
	// Even spaces the arrivals evenly. Otherwise they are a Poisson process, as of many independent callers.
	Even bool
	Seed uint64

	n     uint64
	at    float64 // seconds
	state uint64
}

// Next returns the next intended start; it never falls.
func (s *Schedule) Next() time.Duration {
	if s.Even {
		d := time.Duration(math.Round(float64(s.n) / s.Rate * float64(time.Second)))
		s.n++
		return d
	}
	if s.n == 0 {
		s.state = s.Seed
	}
	s.n++
	s.at += -math.Log(s.uniform()) / s.Rate
	return time.Duration(s.at * float64(time.Second))
}

// uniform is a number in (0, 1], by splitmix64 (Steele, Lea, Flood, 2014).
func (s *Schedule) uniform() float64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11+1) / (1 << 53)
}
