package expr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

var benched = []struct{ name, source string }{
	{"field", "name"},
	{"case", "name.to_uppercase()"},
	{"concat", "name.first(1) + '.'"},
	{"age", "date(dob).age()"},
	{"condition", "date(dob).age() >= 18u ? email : 'hidden'"},
	{"digest", "ssn9.sha256()"},
	{"hmac", "ssn9.hmac_sha256()"},
	{"mask", "ssn9.mask()"},
	{"exists", "[1, 2, 3].exists(x, x == 3)"},
	{"map", "{'name': name, 'born': date(dob)}"},
}

// BenchmarkCompile is one program: parse, check of names, plan.
func BenchmarkCompile(b *testing.B) {
	e := newTest(b, Config{})
	for _, c := range benched {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.compile(c.source)
			}
		})
	}
}

// BenchmarkAccess is the analysis of what expressions read: of a request as it is usual, and of the largest and worst ones,
// which the budget ends.
func BenchmarkAccess(b *testing.B) {
	e := newTest(b, Config{})
	var fields []Field
	all := "["
	for i := range 100 {
		fields = append(fields, Field{Name: fmt.Appendf(nil, "f%d", i)})
		all += fmt.Sprintf("f%d,", i)
	}
	worst := exprsOf("x", all+"1]")
	for i := range 12 {
		list := "[" + strings.Repeat("x == x,", 1000) + "x]"
		worst = append(worst, Expression{Name: fmt.Appendf(nil, "e%d", i), Source: []byte(list)})
	}
	usual := exprsOf("age", "date(dob).age()", "email", "email.to_lowercase()", "initial", "name.first(1) + '.'")
	for name, p := range map[string]func() (*Plan, error){
		"usual": func() (*Plan, error) { return e.Prepare(documented, usual) },
		"worst": func() (*Plan, error) { return e.Prepare(fields, worst) },
	} {
		b.Run(name, func(b *testing.B) {
			p, err := p()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.reads = nil
				p.access()
			}
		})
	}
}

// BenchmarkEval is one expression of a request whose plan is at hand.
func BenchmarkEval(b *testing.B) {
	e := newTest(b, Config{})
	for _, c := range benched {
		b.Run(c.name, func(b *testing.B) { benchRequest(b, e, exprsOf("result", c.source), false) })
	}
}

// BenchmarkRequest is a request of three expressions over seven fields, the look-up of its plan included.
func BenchmarkRequest(b *testing.B) {
	e := newTest(b, Config{})
	exprs := exprsOf("age", "date(dob).age()", "email", "email.to_lowercase()", "initial", "name.first(1) + '.'")
	b.Run("hot", func(b *testing.B) { benchRequest(b, e, exprs, true) })
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.programs, e.plans = newCache[*program](DefaultCache), newCache[*Plan](DefaultCache)
			p, err := e.Prepare(documented, exprs)
			if err != nil {
				b.Fatal(err)
			}
			p.Eval(documented, time.Time{}, nil, nil)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			out, results := make([]byte, 0, 1024), make([]Result, 0, 8)
			for pb.Next() {
				p, err := e.Prepare(documented, exprs)
				if err != nil {
					b.Error(err)
					return
				}
				p.Eval(documented, time.Time{}, out, results)
			}
		})
	})
}

func benchRequest(b *testing.B, e *Evaluator, exprs []Expression, prepare bool) {
	b.Helper()
	p, err := e.Prepare(documented, exprs)
	if err != nil {
		b.Fatal(err)
	}
	out, results := make([]byte, 0, 1024), make([]Result, 0, 8)
	if _, r := p.Eval(documented, time.Time{}, out, results); r[0].Err != KindNone {
		b.Fatal(r[0].Err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if prepare {
			if p, err = e.Prepare(documented, exprs); err != nil {
				b.Fatal(err)
			}
		}
		p.Eval(documented, time.Time{}, out, results)
	}
}

// TestHotRequestAllocatesLittle: what a repeated request allocates is cel-go's values and argument lists alone.
func TestHotRequestAllocatesLittle(t *testing.T) {
	e := newTest(t, Config{})
	exprs := exprsOf("age", "date(dob).age()", "email", "email.to_lowercase()", "initial", "name.first(1) + '.'")
	out, results := make([]byte, 0, 1024), make([]Result, 0, 8)
	allocs := testing.AllocsPerRun(200, func() {
		p, err := e.Prepare(documented, exprs)
		if err != nil {
			t.Fatal(err)
		}
		p.Eval(documented, time.Time{}, out, results)
	})
	spare := 0.0
	if proctest.Race {
		spare = 10
	}
	if allocs > 20+spare {
		t.Errorf("%v allocations", allocs)
	}
	lookup := testing.AllocsPerRun(200, func() {
		if _, err := e.Prepare(documented, exprs); err != nil {
			t.Fatal(err)
		}
	})
	if lookup > spare {
		t.Errorf("%v allocations to find a plan", lookup)
	}
}
