package measure

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestMannWhitney has values of scipy.stats.mannwhitneyu(method="exact") and, for ties, method="asymptotic".
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1, 3, 5, 7}, []float64{2, 4, 6, 8}, 0.6857142857142857},
		{[]float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}, 1},
	} {
		if got := mannWhitney(c.x, c.y); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v %v: %v, want %v", c.x, c.y, got, c.want)
		}
	}
}

func TestMannWhitneyIsSymmetricAndAProbability(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 100), 4, 30)
		x, y := values.Draw(t, "x"), values.Draw(t, "y")
		p, q := mannWhitney(x, y), mannWhitney(y, x)
		if math.Abs(p-q) > 1e-9 || !(p >= 0 && p <= 1) {
			t.Fatalf("p %v, mirrored %v", p, q)
		}
	})
}

func sampled(name, unit string, samples ...float64) Line {
	return Value(name, samples[0], unit, 1).With(samples)
}

func TestVerdicts(t *testing.T) {
	slow := []float64{100, 101, 102, 103, 104}
	fast := []float64{80, 81, 82, 83, 84}
	mixed := []float64{99, 100.5, 101.5, 103.5, 105}
	for _, c := range []struct {
		name     string
		old, now Line
		want     Verdict
	}{
		{"a latency that fell", sampled("a", "us", slow...), sampled("a", "us", fast...), Better},
		{"a latency that rose", sampled("a", "us", fast...), sampled("a", "us", slow...), Worse},
		{"a rate that fell", sampled("a", "req/s", slow...), sampled("a", "req/s", fast...), Worse},
		{"noise", sampled("a", "us", slow...), sampled("a", "us", mixed...), Noise},
		{"one run", sampled("a", "us", 100), sampled("a", "us", 80), Unknown},
		{
			"a target that wants more", Ratio("a", 13, 1, "b", AtLeast(12)).With(slow),
			Ratio("a", 13, 1, "b", AtLeast(12)).With(fast), Worse,
		},
	} {
		got := Compare([]Line{c.old}, []Line{c.now})
		if len(got) != 1 || got[0].Verdict != c.want {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
	}
}

func TestRepeatedLinesAreSamples(t *testing.T) {
	var old, now []Line
	for i := range 5 {
		old = append(old, Value("a", float64(100+i), "us", 1))
		now = append(now, Value("a", float64(80+i), "us", 1), Value("b", 1, "us", 1))
	}
	got := Compare(old, now)
	if len(got) != 2 || got[0].Verdict != Better || got[0].Old != 102 || got[0].New != 82 || got[1].Verdict != Added {
		t.Errorf("%+v", got)
	}
	if d := got[0].Delta(); math.Abs(d+0.196) > 0.001 {
		t.Errorf("delta %v", d)
	}
}
