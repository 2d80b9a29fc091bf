package measure

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Trip is one round trip of a closed loop. Each caller has one of its own.
type Trip func() error

// ClosedRun is the result of a closed loop.
type ClosedRun struct {
	N       int64
	Elapsed time.Duration
	Hist    *Hist
}

// Rate is the round trips per second.
func (r *ClosedRun) Rate() float64 { return float64(r.N) / r.Elapsed.Seconds() }

// ClosedFor runs the trips side by side for d. The first error ends all.
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
		wg     sync.WaitGroup
		failed atomic.Bool
		errs   = make([]error, len(trips))
		hists  = NewShards(len(trips))
	)
	start := time.Now()
	for i, trip := range trips {
		wg.Go(func() {
			for more() && !failed.Load() {
				began := time.Now()
				if errs[i] = trip(); errs[i] != nil {
					failed.Store(true)
					return
				}
				hists.Add(i, time.Since(began))
			}
		})
	}
	wg.Wait()
	r := &ClosedRun{Elapsed: time.Since(start), Hist: hists.Merged()}
	r.N = r.Hist.N()
	return r, errors.Join(errs...)
}
