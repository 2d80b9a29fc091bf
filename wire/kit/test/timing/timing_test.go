package timing

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The number is that of Python: (mean(a)-mean(b)) / sqrt(variance(a)/15 + variance(b)/15), by its module statistics.
func TestWelchsTIsAnotherProgramsToo(t *testing.T) {
	var a, b moments
	for _, x := range []float64{27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4} {
		a.add(x)
	}
	for _, x := range []float64{27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 31.3} {
		b.add(x)
	}
	if got, _ := welch(&a, &b); math.Abs(got+2.949236837) > 1e-9 {
		t.Errorf("t is %v", got)
	}
}

// noise is a run's measurements: mostly near 1000 ns, some far above, as an interrupted program has them.
func noise(r *rand.Rand, n int, shift float64) []sample {
	out := make([]sample, n)
	for i := range out {
		s := sample{r.IntN(2), 1000 + 20*r.NormFloat64()}
		if r.IntN(20) == 0 {
			s.ns += 50_000 * r.ExpFloat64()
		}
		if s.class == 1 {
			s.ns += shift
		}
		out[i] = s
	}
	return out
}

func TestADifferenceBelowTheNoiseOfInterruptsIsFoundAndNoneIsMadeUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		shift float64
		leaks bool
	}{{0, false}, {3, true}, {-3, true}} {
		for range 5 {
			var all [][]float64
			var errs []float64
			for range turns {
				one, _, e := cropped(noise(r, 8000, c.shift))
				all, errs = append(all, one), append(errs, e)
			}
			got := Result{T: combine(all), Sees: median(errs) * (Threshold + 0.84)}
			if got.Leaks() != c.leaks || got.Sees > 3 || math.Signbit(got.T) == math.Signbit(c.shift) && c.leaks {
				t.Errorf("a shift of %v ns: t %v, sees %v", c.shift, got.T, got.Sees)
			}
		}
	}
}

// Variances alone: the means are the same.
func TestADifferenceOfSpreadIsFound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var all [][]float64
	for range turns {
		one := make([]sample, 8000)
		for i := range one {
			one[i] = sample{class: i % 2, ns: 1000 + 20*(1+float64(i%2))*r.NormFloat64()}
		}
		ts, _, _ := cropped(one)
		all = append(all, [][]float64{ts[len(ts)-1:]}...)
	}
	if got := combine(all); math.Abs(got) < Threshold {
		t.Errorf("t %v", got)
	}
}

// One turn under a disturbance that goes with one class decides nothing.
func TestADisturbedTurnDecidesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var all [][]float64
	for turn := range turns {
		shift := 0.0
		if turn < turns/2 {
			shift = 100
		}
		one, _, _ := cropped(noise(r, 8000, shift))
		all = append(all, one)
	}
	if got := (&Result{T: combine(all)}); got.Leaks() {
		t.Errorf("t %v", got.T)
	}
}

// hashes is the comparison of the parent's and the API's keys: the hash of what was presented with the one that is kept.
func hashes(compare func(a, b []byte) bool) (p *Probe) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	sum := sha256.Sum256(secret)
	return &Probe{
		Size: sha256.Size, Batch: 16, Sees: 10 * time.Nanosecond,
		Inputs: [2]func(*rand.Rand, []byte){
			func(_ *rand.Rand, in []byte) { copy(in, sum[:]); in[31] ^= 1 },
			func(r *rand.Rand, in []byte) {
				for i := range in {
					in[i] = byte(r.Uint32())
				}
			},
		},
		Run: func(in []byte) bool { return compare(in, sum[:]) },
	}
}

func untilTheFirstDifference(a, b []byte) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The comparison that must not be: it ends at the first byte that differs.
func TestAComparisonThatEndsEarlyIsFoundOut(t *testing.T) {
	p := hashes(untilTheFirstDifference)
	Run(t, &Probe{ // its results, without judging its time
		Size: p.Size, Inputs: p.Inputs, Run: func(in []byte) bool { return subtle.ConstantTimeCompare(in, in) == 1 },
		Result: [2]bool{true, true}, Batch: p.Batch, Sees: p.Sees,
	})
	effort := setting(t, Effort)
	if effort == 0 {
		return
	}
	got := measure(p, rand.New(rand.NewPCG(7, 8)), effort, false)
	t.Logf("%v", &got)
	if !got.Leaks() {
		t.Errorf("not found out: %v", &got)
	}
}

func TestAComparisonInConstantTimeIsNotAccused(t *testing.T) {
	Run(t, hashes(func(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }))
}
