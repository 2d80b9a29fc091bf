// Package hist holds latency distributions and the few statistics that bench makes of them.
//
// A [Hist] is an HDR histogram (hdrhistogram-go) of nanoseconds with three significant digits, from 1 ns to [Max]; what
// is longer counts as Max, so that no slow answer is lost. It belongs to one goroutine; goroutines that measure
// together have one each and Merge them.
package hist

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Max is the longest duration that is told apart.
const Max = 10 * time.Minute

// Hist is a distribution of durations.
type Hist struct{ h *hdrhistogram.Histogram }

// New makes an empty one.
func New() *Hist { return &Hist{hdrhistogram.New(1, int64(Max), 3)} }

// Add records a duration; negative ones count as zero.
func (h *Hist) Add(d time.Duration) {
	_ = h.h.RecordValue(min(max(int64(d), 0), int64(Max))) // within its bounds by min and max
}

// Merge adds what another recorded.
func (h *Hist) Merge(o *Hist) { h.h.Merge(o.h) }

// Reset forgets everything.
func (h *Hist) Reset() { h.h.Reset() }

// N is the number of durations recorded.
func (h *Hist) N() int64 { return h.h.TotalCount() }

// Quantile returns the duration at q, 0 to 1, in microseconds; NaN of an empty one.
func (h *Hist) Quantile(q float64) float64 {
	if h.N() == 0 {
		return math.NaN()
	}
	return float64(h.h.ValueAtQuantile(q*100)) / 1000
}

// Max is the longest duration recorded, in microseconds.
func (h *Hist) Max() float64 { return float64(h.h.Max()) / 1000 }

// Curve returns pairs of quantile and microseconds, denser towards 1, up to what the count supports.
func (h *Hist) Curve() [][2]float64 {
	var c [][2]float64
	if h.N() == 0 {
		return nil
	}
	for _, tail := range []float64{1, 0.1, 0.01, 0.001, 1e-4, 1e-5} {
		for step := range 9 {
			q := 1 - tail*(1-float64(step)/10)
			if (1-q)*float64(h.N()) < 1 {
				return append(c, [2]float64{1, h.Max()})
			}
			c = append(c, [2]float64{math.Round(q*1e8) / 1e8, h.Quantile(q)})
		}
	}
	return append(c, [2]float64{1, h.Max()})
}

// Median returns the middle of values, or the mean of the two; NaN of none. It does not change them.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
