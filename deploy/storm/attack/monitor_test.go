//go:build attack

package attack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// These are the verdict's numbers.
const (
	window       = 200 * time.Millisecond
	leastLimit   = 50 * time.Millisecond
	timesQuiet   = 10
	timesControl = 4
	badInARow    = 3
	honestEvery  = 10 * time.Millisecond // of each honest caller
)

// honest is a caller that the attack must not harm.
type honest struct {
	name string
	// ask makes one request and says whether it was refused by stated overload. An error is any other failure.
	ask func(ctx context.Context) (overload bool, err error)
	// control marks a process that is not attacked: how slow it is says how busy the machine is.
	control bool
	every   time.Duration // 0: honestEvery
	// depth is how many programs that wait for a disk or for one another a request passes, beyond the control's one: a busy
	// machine delays it as many times. 0: 1.
	depth int
}

// sample is one request of an honest caller: when it was to start, and how long until its answer.
type sample struct {
	at, took time.Duration
	overload bool
	err      error
}

// watch asks at an even rate, whatever the answers take (an open loop), until ctx ends, and then waits for them.
func watch(ctx context.Context, callers []honest) [][]sample {
	begin := time.Now()
	out := make([][]sample, len(callers))
	var wg sync.WaitGroup
	for i, h := range callers {
		wg.Go(func() {
			var mu sync.Mutex
			var asked sync.WaitGroup
			every := h.every
			if every == 0 {
				every = honestEvery
			}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					asked.Wait()
					return
				case <-tick.C:
				}
				due := time.Since(begin)
				asked.Go(func() {
					asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
					defer cancel()
					overload, err := h.ask(asking)
					mu.Lock()
					defer mu.Unlock()
					out[i] = append(out[i], sample{due, time.Since(begin) - due, overload, err})
				})
			}
		})
	}
	wg.Wait()
	return out
}

// p99 of the samples; 0 of none.
func p99(samples []sample) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	took := make([]time.Duration, len(samples))
	for i, s := range samples {
		took[i] = s.took
	}
	slices.Sort(took)
	return took[(len(took)*99+99)/100-1]
}

// windows cuts samples by when they were to start.
func windows(samples []sample) [][]sample {
	var out [][]sample
	for _, s := range samples {
		i := int(s.at / window)
		for len(out) <= i {
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

// verdict holds what was measured of an honest caller during an attack against what it was before.
type verdict struct {
	name                string
	quiet, worst, limit time.Duration
	asked, overloads    int
	since               time.Duration // when the first window that failed it began
	err                 error
}

// judge compares a caller with its quiet self and with the control, of which it may take depth times as long.
func judge(name string, depth int, quiet, during, control []sample) verdict {
	v := verdict{name: name, quiet: p99(quiet), asked: len(during)}
	v.limit = max(timesQuiet*v.quiet, leastLimit)
	machine := windows(control)
	bad, failed := 0, 0
	var first error
	for i, w := range windows(during) {
		now := p99(w)
		v.worst = max(v.worst, now)
		limit := v.limit
		if i < len(machine) {
			limit = max(limit, time.Duration(max(depth, 1))*timesControl*p99(machine[i]))
		}
		if now > limit {
			bad++
		} else {
			bad = 0
		}
		if bad == badInARow {
			if v.since == 0 {
				v.since = time.Duration(i-badInARow+1) * window
			}
			v.err = errors.Join(v.err, fmt.Errorf("%s: p99 %v in window %d, limit %v (quiet %v), %d windows running",
				name, now.Round(time.Millisecond), i, limit.Round(time.Millisecond), v.quiet.Round(time.Microsecond), bad))
		}
		for _, s := range w {
			if s.overload {
				v.overloads++
			}
			if s.err != nil {
				failed++
				first = errors.Join(first, s.err)
				if failed > 3 {
					first = s.err
				}
			}
		}
	}
	if failed > 0 {
		v.err = errors.Join(v.err, fmt.Errorf("%s: %d of %d requests failed: %w", name, failed, v.asked, first))
	}
	if v.asked == 0 {
		v.err = errors.Join(v.err, errors.New(name+": was never asked"))
	}
	return v
}

// leak finds the first of never in text and shows what is around it.
func leak(where string, text []byte, never ...string) error {
	s := string(text)
	for _, n := range never {
		if i := strings.Index(s, n); n != "" && i >= 0 {
			return fmt.Errorf("%q in %s: …%q…", n, where, s[max(0, i-200):min(len(s), i+300)])
		}
	}
	return nil
}
