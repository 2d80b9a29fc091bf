package expr

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// mixed are expressions that succeed, fail, depend on one another and cost much, in sum more than a request may.
func mixed() []Expression {
	pairs := []string{"a", "b + name", "b", "name", "bad", "date(name)", "uses", "bad", "no", "nothing", "list", "[name, b]"}
	for i := range 12 {
		pairs = append(pairs, fmt.Sprintf("x%d", i), numbers(100+i)+".all(i, [1, 2, 3].all(j, i + j > 0))")
	}
	return exprsOf(pairs...)
}

// TestSlicesGiveWhatEvalGives, bytes and failures, whatever the slices are, also when the request's budget ends.
func TestSlicesGiveWhatEvalGives(t *testing.T) {
	for _, budget := range []int{0, 30_000} {
		e := newTest(t, Config{Limits: Limits{RequestCost: budget}})
		p, err := e.Prepare(documented, mixed())
		if err != nil {
			t.Fatal(err)
		}
		out, results := p.Eval(documented, time.Time{}, nil, nil)
		for _, units := range []int{1, 3000, 20_000, 1 << 30} {
			r := p.Start(documented, time.Time{}, nil, nil)
			slice := 1
			for r.Slice(units) {
				slice++
			}
			again, same := r.End()
			if !bytes.Equal(out, again) || !slices.Equal(results, same) {
				t.Errorf("slices of %d units: %v, want %v", units, same, results)
			}
			if units == 1 && slice < 10 || units == 1<<30 && slice != 1 {
				t.Errorf("%d slices of %d units", slice, units)
			}
		}
	}
}

// TestARunThatIsGivenUpKeepsNothing: its state serves the next request.
func TestARunThatIsGivenUpKeepsNothing(t *testing.T) {
	e := newTest(t, Config{})
	st := newState(e)
	e.states.New = func() any { return st }
	p, err := e.Prepare(documented, mixed())
	if err != nil {
		t.Fatal(err)
	}
	r := p.Start(documented, time.Time{}, nil, nil)
	r.Slice(1)
	r.End()
	for _, v := range append(st.values[:cap(st.values)], st.results[:cap(st.results)]...) {
		if v != nil {
			t.Errorf("a value is kept: %T", v)
		}
	}
	if r := p.Start(documented[1:], time.Time{}, nil, nil); r.Slice(1) {
		t.Error("a plan for other fields is evaluated")
	} else if _, results := r.End(); results[0].Err != KindInternal {
		t.Errorf("%v", results[0])
	}
}

// TestTryGivesUpWithoutATrace: beyond its units there is neither a result nor a byte, and within them what Eval gives.
func TestTryGivesUpWithoutATrace(t *testing.T) {
	e := newTest(t, Config{})
	exprs := exprsOf("copy", "name", "size", numbers(100)+".size()", "dear", numbers(100)+".all(x, x == 1)")
	p, err := e.Prepare(documented, exprs)
	if err != nil {
		t.Fatal(err)
	}
	room := append(make([]byte, 0, 1024), "before"...)
	before := []Result{{Err: KindCost}}
	out, results, ok := p.Try(300, documented, time.Time{}, room, before)
	if ok || string(out) != "before" || len(results) != 1 {
		t.Errorf("given up: %v %q %v", ok, out, results)
	}
	if used := out[len(out):cap(out)]; !bytes.Equal(used, make([]byte, len(used))) {
		t.Errorf("given up, with a trace: %q", bytes.TrimRight(used, "\x00"))
	}
	want, all := p.Eval(documented, time.Time{}, nil, nil)
	for _, units := range []int{5000, 1 << 40} {
		out, results, ok = p.Try(units, documented, time.Time{}, nil, nil)
		if !ok || !bytes.Equal(out, want) || !slices.Equal(results, all) {
			t.Errorf("%v %q %v", ok, out, results)
		}
	}
}

// TestCompileIsWhatPrepareFinds.
func TestCompileIsWhatPrepareFinds(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{RequestSource: 10}})
	exprs := exprsOf("a", "1 + 2", "b", "name", "c", "name + name")
	for i := range exprs {
		e.Compile(exprs, i)
	}
	if s := e.Stats(); s.Programs != 2 || s.Plans != 0 {
		t.Errorf("%d programs, %d plans: want those within the limit of all sources", s.Programs, s.Plans)
	}
}
