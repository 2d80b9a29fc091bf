package timing

import (
	"cmp"
	"math"
	"slices"
)

// Threshold is the |t| above which means differ.
const Threshold = 4.5

// crops is how many percentiles are tried, and minCrop how many measurements of a class a crop must keep.
const (
	crops   = 100
	minCrop = 50
)

// moments are the running mean and variance of a class (Welford, 1962; Knuth, volume 2, section 4.2.2).
type moments struct {
	n        float64
	mean, m2 float64
}

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.m2 += d * (x - m.mean)
}

func (m *moments) variance() float64 { return m.m2 / (m.n - 1) }

// welch is Welch's t of two classes (Biometrika 34, 1947), and the standard error of the difference of their means.
func welch(a, b *moments) (t, err float64) {
	err = math.Sqrt(a.variance()/a.n + b.variance()/b.n)
	if err == 0 {
		if a.mean == b.mean {
			return 0, 0
		}
		return math.Copysign(math.Inf(1), a.mean-b.mean), 0
	}
	return (a.mean - b.mean) / err, err
}

// sample is one measurement: the class of its input, and nanoseconds.
type sample struct {
	class int
	ns    float64
}

// cropped are the t of each crop of one turn, of the whole and of the whole's variances, in this order. A crop that
// keeps too few is NaN. It returns also the difference of the means and its standard error, of the crop whose error is
// the smallest among those that keep half of the measurements or more. It sorts the samples.
func cropped(samples []sample) (t []float64, diff, stdErr float64) {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.ns, b.ns) })
	diff, stdErr = math.NaN(), math.Inf(1)
	var m [2]moments
	next := 0
	upTo := func(end int) {
		for ; next < end; next++ {
			m[samples[next].class].add(samples[next].ns)
		}
		if m[0].n < minCrop || m[1].n < minCrop {
			t = append(t, math.NaN())
			return
		}
		one, e := welch(&m[0], &m[1])
		if t = append(t, one); 2*end >= len(samples) && e < stdErr {
			diff, stdErr = m[0].mean-m[1].mean, e
		}
	}
	for i := range crops {
		// dudect's percentiles: close together towards the end of the slow ones.
		upTo(int((1 - math.Pow(0.5, 10*float64(i+1)/crops)) * float64(len(samples))))
	}
	upTo(len(samples))
	var squares [2]moments
	for _, s := range samples {
		c := s.ns - m[s.class].mean
		squares[s.class].add(c * c)
	}
	one, _ := welch(&squares[0], &squares[1])
	return append(t, one), diff, stdErr
}

// median is the middle of values, the lower one of two; NaN without values or when one is NaN.
func median(values []float64) float64 {
	for _, v := range values {
		if math.IsNaN(v) {
			return math.NaN()
		}
	}
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)-1)/2]
}

// combine takes the median of each crop over the turns and returns the one that is furthest from 0.
func combine(turns [][]float64) (t float64) {
	for crop := range turns[0] {
		of := make([]float64, len(turns))
		for i := range turns {
			of[i] = turns[i][crop]
		}
		if m := median(of); math.Abs(m) > math.Abs(t) {
			t = m
		}
	}
	return t
}
