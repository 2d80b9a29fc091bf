package measure

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRefused is what a [Trip] returns if the system refused the request because it had too many. The loop counts it,
// and goes on.
var ErrRefused = errors.New("refused: too many requests")

// Trip is one round trip of a closed loop. Each caller has one of its own.
type Trip func() error

// ClosedRun is the result of a closed loop.
type ClosedRun struct {
	N       int64 // round trips with an answer; Hist has their times
	Refused int64
	Elapsed time.Duration
	Hist    *Hist
}

// Rate is the answered round trips per second.
func (r *ClosedRun) Rate() float64 { return float64(r.N) / r.Elapsed.Seconds() }

// ClosedFor runs the trips side by side for d. The first error other than [ErrRefused] ends all.
func ClosedFor(trips []Trip, d time.Duration) (*ClosedRun, error) {
	deadline := time.Now().Add(d)
	return closedLoop(trips, func() bool { return time.Now().Before(deadline) })
}

// ClosedCount runs the trips side by side until there were n.
func ClosedCount(trips []Trip, n int64) (*ClosedRun, error) {
	var left atomic.Int64
	left.Store(n)
	return closedLoop(trips, func() bool { return left.Add(-1) >= 0 })
}

func closedLoop(trips []Trip, more func() bool) (*ClosedRun, error) {
	var (
		wg      sync.WaitGroup
		failed  atomic.Bool
		refused atomic.Int64
		errs    = make([]error, len(trips))
		hists   = NewShards(len(trips))
	)
	start := time.Now()
	for i, trip := range trips {
		wg.Go(func() {
			for more() && !failed.Load() {
				began := time.Now()
				switch err := trip(); {
				case err == nil:
					hists.Add(i, time.Since(began))
				case errors.Is(err, ErrRefused):
					refused.Add(1)
				default:
					errs[i] = err
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	r := &ClosedRun{Elapsed: time.Since(start), Hist: hists.Merged(), Refused: refused.Load()}
	r.N = r.Hist.N()
	return r, errors.Join(errs...)
}
