package measure

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesHaveThreeDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1, int64(MaxTime)), 1, 500).Draw(t, "ns")
		h := NewHist()
		for _, v := range values {
			h.Add(time.Duration(v))
		}
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
			rank := q * float64(len(values)) // from 1; what lies on both sides of a fraction will do
			low := float64(values[max(0, int(rank)-1)]) / 1000
			high := float64(values[max(0, int(math.Ceil(rank))-1)]) / 1000
			if got := h.Quantile(q); got < low*0.999-0.001 || got > high*1.001+0.001 {
				t.Fatalf("q%v of %v: %v µs, want %v to %v", q, values, got, low, high)
			}
		}
	})
}

func TestNothingIsLost(t *testing.T) {
	h := NewHist()
	h.Add(-time.Second)
	h.Add(time.Hour)
	if h.N() != 2 || h.Quantile(0.5) != 0 || math.Abs(h.Max()-float64(MaxTime.Microseconds())) > float64(MaxTime.Microseconds())*0.001 {
		t.Errorf("%d recorded, p50 %v, max %v", h.N(), h.Quantile(0.5), h.Max())
	}
	if !math.IsNaN(NewHist().Quantile(0.5)) || NewHist().Curve() != nil {
		t.Error("an empty histogram has quantiles")
	}
}

func TestMergeAddsUp(t *testing.T) {
	a, b := NewHist(), NewHist()
	for i := range 100 {
		a.Add(time.Duration(i+1) * time.Millisecond)
		b.Add(time.Duration(i+101) * time.Millisecond)
	}
	a.Merge(b)
	if a.N() != 200 || math.Abs(a.Quantile(0.5)-100_000) > 200 {
		t.Errorf("%d, p50 %v", a.N(), a.Quantile(0.5))
	}
	a.Reset()
	if a.N() != 0 {
		t.Error("not empty after Reset")
	}
}

func TestCurveRisesAndEndsAtTheMaximum(t *testing.T) {
	h := NewHist()
	for i := range 10_000 {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	c := h.Curve()
	for i := 1; i < len(c); i++ {
		if c[i][0] <= c[i-1][0] || c[i][1] < c[i-1][1] {
			t.Fatalf("point %d: %v after %v", i, c[i], c[i-1])
		}
	}
	if last := c[len(c)-1]; last[0] != 1 || last[1] != h.Max() {
		t.Errorf("ends at %v", last)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}, {[]float64{7}, 7}} {
		if got := Median(c.in); got != c.want {
			t.Errorf("%v: %v", c.in, got)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("none has a median")
	}
}

func TestShardsLoseNothing(t *testing.T) {
	const goroutines, each = 20, 1000
	s := NewShards(goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for n := range each {
				s.Add(i, time.Duration(n)*time.Microsecond)
			}
		})
	}
	wg.Wait()
	if h := s.Merged(); h.N() != goroutines*each || h.Max() < each-2 {
		t.Errorf("%d recorded, up to %v µs", h.N(), h.Max())
	}
}
