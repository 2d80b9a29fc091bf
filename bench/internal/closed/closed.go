// Package closed drives a closed loop: a fixed number of callers, each of which sends its next request when it has the
// answer to the last.
//
// A closed loop says how fast a system is when its callers wait for it. It says little of latency under load: a stall
// stops the callers too, so the requests that would have suffered are never sent (coordinated omission). For that see
// package open.
package closed

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/bench/internal/hist"
)

// Trip is one round trip. Each caller has one of its own.
type Trip func() error

// Run is what a loop did.
type Run struct {
	N       int64
	Elapsed time.Duration
	Hist    *hist.Hist
}

// Rate is the round trips per second.
func (r *Run) Rate() float64 { return float64(r.N) / r.Elapsed.Seconds() }

// For lets the trips run side by side for d. The first error ends all.
func For(trips []Trip, d time.Duration) (*Run, error) {
	deadline := time.Now().Add(d)
	return run(trips, func() bool { return time.Now().Before(deadline) })
}

// Count lets the trips run side by side until there were n.
func Count(trips []Trip, n int64) (*Run, error) {
	var left atomic.Int64
	left.Store(n)
	return run(trips, func() bool { return left.Add(-1) >= 0 })
}

func run(trips []Trip, more func() bool) (*Run, error) {
	var (
		wg     sync.WaitGroup
		failed atomic.Bool
		errs   = make([]error, len(trips))
		hists  = hist.NewShards(len(trips))
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
	r := &Run{Elapsed: time.Since(start), Hist: hists.Merged()}
	r.N = r.Hist.N()
	return r, errors.Join(errs...)
}
