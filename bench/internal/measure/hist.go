package measure

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// MaxTime is the longest duration that is recorded exactly.
const MaxTime = 10 * time.Minute

// Hist is a distribution of durations: an HDR histogram (hdrhistogram-go) of nanoseconds with three significant digits,
// from 1 ns to [MaxTime]. A longer duration counts as MaxTime, so that no slow answer is lost. A Hist belongs to one
// goroutine; goroutines that measure together have one each and Merge them, or share [Shards].
type Hist struct{ h *hdrhistogram.Histogram }

// NewHist makes an empty one.
func NewHist() *Hist { return &Hist{hdrhistogram.New(1, int64(MaxTime), 3)} }

// Add records a duration; negative ones count as zero.
func (h *Hist) Add(d time.Duration) {
	_ = h.h.RecordValue(min(max(int64(d), 0), int64(MaxTime))) // within its bounds by min and max
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

// Shards is a distribution in which many goroutines record: a few histograms that they share. One histogram takes a
// quarter of a MiB, and making one for each of a thousand callers would itself be the load.
type Shards struct{ shards []shard }

type shard struct {
	sync.Mutex
	h *Hist
	_ [48]byte // so that neighbours do not share a cache line
}

// maxShards is enough that goroutines on a few CPUs hardly meet.
const maxShards = 8

// NewShards makes an empty distribution for n goroutines.
func NewShards(n int) *Shards {
	s := &Shards{shards: make([]shard, max(1, min(n, maxShards)))}
	for i := range s.shards {
		s.shards[i].h = NewHist()
	}
	return s
}

// Add records a duration for goroutine i.
func (s *Shards) Add(i int, d time.Duration) {
	part := &s.shards[i%len(s.shards)]
	part.Lock()
	part.h.Add(d)
	part.Unlock()
}

// Merged returns everything that was recorded, once no goroutine records any more. The shards are then used up.
func (s *Shards) Merged() *Hist {
	all := s.shards[0].h
	for i := range s.shards[1:] {
		all.Merge(s.shards[i+1].h)
	}
	return all
}
