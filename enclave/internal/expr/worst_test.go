package expr

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/test/proctest"
)

// mostFor is what n units of cost may take. The figure that is promised (see [Limits]) is a third of it: a machine
// that is busy with other things is slower by what they take from its caches. The race detector takes its time too.
func mostFor(n int64) time.Duration {
	if proctest.Race {
		n *= 16
	}
	return time.Duration(n) * 600 * time.Nanosecond
}

// threadTime is the CPU time of the calling thread: what else runs on the machine is not in it.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// meter evaluates with one state, whose account it reads.
type meter struct {
	e  *Evaluator
	st *state
}

func newMeter(t testing.TB, limits Limits) *meter {
	t.Helper()
	e := newTest(t, Config{Limits: limits})
	m := &meter{e: e, st: newState(e)}
	e.states.New = func() any { return m.st }
	return m
}

// spent returns the units that the last request paid.
func (m *meter) spent() int64 {
	return int64(m.e.limits.RequestCost) - int64(m.st.requestEnd) + int64(m.st.tracker.ActualCost())
}

// sample is what a request took.
type sample struct {
	took  time.Duration
	units int64
}

func (s sample) perUnit() time.Duration { return s.took / time.Duration(max(1, s.units)) }

// run evaluates exprs once.
func (m *meter) run(t testing.TB, fields []Field, exprs []Expression) sample {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := m.e.Prepare(fields, exprs)
	if err != nil {
		t.Fatal(err)
	}
	start := threadTime(t)
	p.Eval(fields, time.Time{}, nil, nil)
	return sample{threadTime(t) - start, m.spent()}
}

// check fails if a unit takes too long each of a few times: once may be the collector, or another process. Requests
// that cost little are to be quick as a whole.
func (m *meter) check(t testing.TB, name string, fields []Field, exprs []Expression) sample {
	t.Helper()
	var best sample
	for i := range 5 {
		s := m.run(t, fields, exprs)
		if s.took <= mostFor(max(s.units, 1000)) {
			return s
		}
		if i == 0 || s.took < best.took {
			best = s
		}
	}
	t.Errorf("%.100s: %v for each of %d units", name, best.perUnit(), best.units)
	return best
}

// operands are values of each kind that a caller can have, the dearest of their kind that are known.
func operands() (names []string, fields []Field) {
	rep := strings.Repeat
	fields = fieldsOf(
		"word", "Bob", "page", rep("x", 1000), "big", rep("x", 200_000), "accents", rep("é", 50_000),
		"sharp", rep("ß", 50_000), "digits", "0."+rep("9", 800)+"e-290", "number", "1.7976931348623157e308",
		"halfway", "2.22507385850720113605740979670913197593481954635164564e-308", "dob", "1979-04-05",
		"moment", "2020-01-01T00:00:00.123456789+05:30", "hour", "1h2m3.5s", "nobody", nil, "code", rep("Ab+/", 25_000),
		"ends", rep("x", 100_000)+"y", "mixed", rep("aÉ", 30_000), "quotes", rep("\"\x01", 20_000), "zero", "0",
	)
	for _, f := range fields {
		names = append(names, string(f.Name))
	}
	names = append(names, "1", "1u", "1e308", "5e-324", "true", "null", "9223372036854775807")
	for _, x := range prelude() {
		names = append(names, string(x.Name))
	}
	return names, fields
}

// seconds are the operands that stand on the right of another.
var seconds = []string{"word", "big", "1", "1e308", "null", "list", "table"}

// prelude are expressions that make operands.
func prelude() []Expression {
	var table, texts strings.Builder
	for i := range 300 {
		fmt.Fprintf(&table, "%d: page, 'k%d': 1.5,", i, i)
		fmt.Fprintf(&texts, "word + '%d',", i)
	}
	return exprsOf(
		"list", numbers(1000), "nested", "[1, 2]"+strings.Repeat(".map(b, [b, b])", 7), "table", "{"+table.String()+"'x': 1}",
		"texts", "["+texts.String()+"'x']", "stamp", "timestamp(moment)", "span", "duration(hour)", "raw", "bytes(page)",
		"doubles", numbers(500)+".map(x, 1e300 / double(x + 2))",
	)
}

// calls returns a call of every function, operator, macro and literal with every operand.
func calls(e *Evaluator, names []string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(e.calls)) {
		if c := e.calls[name]; !strings.HasPrefix(name, "@") && !slices.Contains(standardOperators, name) {
			all = append(all, callsOf(name, c, names)...)
		}
	}
	for _, x := range names {
		all = append(all, "!"+x, "-"+x, "{"+x+": 1}", "["+x+"]", "{'a': "+x+"}.a", x+".a", "has("+x+".a)", x+".map(a, a)",
			x+".map(a, true, a)", x+".filter(a, false)", x+".exists_one(a, true)", x+".all(a, true)", x+".exists(a, false)",
			x+".filter(a, "+x+".exists(b, false))")
		for _, y := range seconds {
			for _, op := range []string{"+", "-", "*", "/", "%", "<", ">=", "==", "!=", "in", "&&", "||"} {
				all = append(all, x+" "+op+" "+y)
			}
			all = append(all, x+"["+y+"]", "max("+x+", "+y+")", "min("+y+", "+x+")", x+" ? 1 : "+y, x+" == "+x)
		}
	}
	return all
}

func callsOf(name string, c callable, names []string) []string {
	var all []string
	for _, x := range names {
		if c.call&1 == 1 {
			all = append(all, name+"()")
		}
		if c.call>>1&1 == 1 {
			all = append(all, name+"("+x+")")
		}
		for _, y := range seconds {
			if c.call>>2&1 == 1 {
				all = append(all, name+"("+x+", "+y+")")
			}
		}
	}
	return all
}

// needed are those of exprs that source mentions.
func needed(exprs []Expression, source string) []Expression {
	var some []Expression
	for _, x := range exprs {
		if strings.Contains(source, string(x.Name)) {
			some = append(some, x)
		}
	}
	return some
}

// TestNoCallIsTooCheap (SECURITY.md, check 42): whatever is called with whatever in a loop takes no longer than its cost
// allows, errors included.
func TestNoCallIsTooCheap(t *testing.T) {
	m := newMeter(t, Limits{Cost: 4000})
	names, fields := operands()
	before := append(prelude(), exprsOf("over", numbers(100))...)
	var dearest sample
	var which string
	for i, c := range calls(m.e, names) {
		if proctest.Race && i%10 != 0 {
			continue
		}
		one := "((" + c + ") == 1 || true)"
		loop := "over.all(i, over.all(j, " + one + strings.Repeat(" && "+one, 9) + "))"
		s := m.check(t, c, fields, append(needed(before, loop), exprsOf("result", loop)...))
		if s.units > 1000 && s.perUnit() > dearest.perUnit() {
			dearest, which = s, c
		}
	}
	t.Logf("the dearest: %s, %v for a unit", which, dearest.perUnit())
}

// TestNoResultIsTooCheap: the same for what is made of values when they are encoded.
func TestNoResultIsTooCheap(t *testing.T) {
	m := newMeter(t, Limits{})
	names, fields := operands()
	for _, c := range names {
		for _, form := range []string{
			"%s", "[%s, %s]", "{'a': %s}", "{%s: 1}", "list.map(x, %s)", "list.map(x, {'a': %s})",
			"list.map(x, [%s])", "list.map(x, [[], {}, %s])", "{1: 2, 1u: %s}",
		} {
			source := strings.ReplaceAll(form, "%s", c)
			m.check(t, source, fields, append(needed(prelude(), source), exprsOf("result", source)...))
		}
	}
}
