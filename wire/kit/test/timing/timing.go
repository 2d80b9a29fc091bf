package timing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Effort is the variable of the environment that says how many times the usual number of measurements [Run] makes, and
// Seed the one with the seed of the inputs and their order. Without Effort nothing is measured; without Seed it is from
// the clock.
const (
	Effort = "REDOUBT_TIMING"
	Seed   = "REDOUBT_TIMING_SEED"
)

// setting reads a variable that is a number; 0 without one.
func setting(t *testing.T, name string) float64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q, not a number", name, text)
	}
	return n
}

const (
	// turns of a run. A turn has Probe.Samples measurements.
	turns = 5
	// doublings of the measurements are tried until the planted leak is found. What is judged then has as many.
	doublings = 5
)

// Probe is a piece of code, and two classes of its input whose times must not differ.
type Probe struct {
	// Size is the length of an input in bytes.
	Size int
	// Inputs fill an input with one of each class. They are called outside of the measurement.
	Inputs [2]func(r *rand.Rand, in []byte)
	// Run is what is measured. It returns the result, which says that it did what the probe means. Inputs lie at one
	// address, whatever the class.
	Run func(in []byte) bool
	// Result is what Run must return for each class.
	Result [2]bool
	// Batch is how many calls are one measurement: it should take some microseconds at least. 0: 1.
	Batch int
	// Slow says that a call takes 20 microseconds or more. Then the thread's CPU time is taken, in which other processes
	// do not count, and whose reading takes a microsecond.
	Slow bool
	// Samples are the measurements of a turn. 0: 4000.
	Samples int
	// Within is a difference of a call's time that is accepted: the probe says why.
	Within time.Duration
	// Sees is the difference of a call's time that the run must be able to see: a leak of this length is planted and
	// must be found.
	Sees time.Duration
}

// Result of a run.
type Result struct {
	// T is the t that is furthest from 0, see the package.
	T float64
	// Diff is the difference of the classes' times of a call, and Sees the smallest that would be found at this noise
	// in four of five runs, in nanoseconds: (Threshold + 0.84) standard errors.
	Diff, Sees float64
	// Samples are the measurements in all.
	Samples int
}

// Leaks reports whether the classes differ in time.
func (r *Result) Leaks() bool { return math.Abs(r.T) > Threshold }

func (r *Result) String() string {
	return fmt.Sprintf("t %.1f, difference %.1f ns, sees %.1f ns, %d measurements", r.T, r.Diff, r.Sees, r.Samples)
}

// Run checks the results of both classes. With the variable [Effort] it also measures p, and p with a leak planted, and
// fails unless the second is found out and the first is not. Measurements under the race detector mean nothing.
func Run(t *testing.T, p *Probe) {
	t.Helper()
	effort, s := setting(t, Effort), uint64(setting(t, Seed))
	if s == 0 {
		s = uint64(time.Now().Unix())
	}
	r := rand.New(rand.NewPCG(s, 1)) //nolint:gosec // must be repeatable, and guards nothing
	in := make([]byte, p.Size)
	for range 16 {
		for class := range 2 {
			p.Inputs[class](r, in)
			if p.Run(in) != p.Result[class] {
				t.Fatalf("an input of class %d is answered by %v ("+Seed+"=%d)", class, !p.Result[class], s)
			}
		}
	}
	if effort == 0 {
		return
	}
	planted := *p
	planted.Run = func(in []byte) bool {
		// The class of an input shows by its last byte, which measure sets for the planted one alone.
		spin(p.Sees * time.Duration(in[p.Size]))
		return p.Run(in[:p.Size])
	}
	found := measure(&planted, r, effort, true)
	for range doublings {
		if found.Leaks() {
			break
		}
		effort *= 2 // the machine is busy
		found = measure(&planted, r, effort, true)
	}
	t.Logf("planted %v: %v", p.Sees, &found)
	if !found.Leaks() {
		t.Errorf("a leak of %v was planted and not found: the machine is too busy, or the probe has too few measurements; %v",
			p.Sees, &found)
	}
	got := measure(p, r, effort, false)
	t.Logf("as it is: %v", &got)
	if got.Leaks() && math.Abs(got.Diff) > float64(p.Within) {
		t.Errorf("the time tells the classes apart: %v ("+Seed+"=%d)", &got, s)
	}
}

// spinPerNS is how many steps of spin are a nanosecond.
var spinPerNS = func() float64 {
	best := math.Inf(1)
	const steps = 100_000
	for range 20 {
		start := time.Now()
		steady(steps)
		best = math.Min(best, float64(time.Since(start)))
	}
	return steps / best
}()

var sink uint64

//go:noinline
func steady(steps int) {
	x := sink | 1
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink = x
}

// spin passes time.
func spin(d time.Duration) { steady(int(float64(d) * spinPerNS)) }

// chunk is how many inputs are made before they are measured.
const chunk = 500

// measure makes the measurements. marked inputs have a byte more, with the class.
func measure(p *Probe, r *rand.Rand, effort float64, marked bool) Result {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	samples, batch := p.Samples, max(p.Batch, 1)
	if samples == 0 {
		samples = 4000
	}
	samples = max(int(float64(samples)*effort), 4*minCrop)
	var all [][]float64
	var diffs, sees []float64
	for range turns {
		one := make([]sample, 0, samples)
		for len(one) < samples {
			one = measureChunk(p, r, one, min(chunk, samples-len(one)), batch, marked)
		}
		t, d, e := cropped(one)
		all, diffs, sees = append(all, t), append(diffs, d/float64(batch)), append(sees, e/float64(batch))
	}
	return Result{
		T: combine(all), Diff: median(diffs), Sees: median(sees) * (Threshold + 0.84), Samples: turns * samples,
	}
}

func measureChunk(p *Probe, r *rand.Rand, to []sample, n, batch int, marked bool) []sample {
	inputs, classes := make([]byte, n*p.Size), make([]int, n)
	in := make([]byte, p.Size+1)
	for i := range n {
		classes[i] = r.IntN(2)
		p.Inputs[classes[i]](r, inputs[i*p.Size:(i+1)*p.Size])
	}
	runtime.GC() // none comes while time is taken, see measure
	now := wall
	if p.Slow {
		now = cpu
	}
	given := in[:p.Size]
	if marked {
		given = in
	}
	for i := range n {
		copy(in, inputs[i*p.Size:(i+1)*p.Size])
		in[p.Size] = byte(classes[i])
		if i%64 == 0 {
			runtime.Gosched()
		}
		start := now()
		for range batch {
			p.Run(given)
		}
		to = append(to, sample{classes[i], float64(now() - start)})
	}
	return to
}

// wall is the time since some start, and cpu the CPU time of the thread.
func wall() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

func cpu() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // Linux has it since 2.6
	}
	return time.Duration(ts.Nano())
}
