package expr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/interpreter"
)

// soon is far more than anything takes that ends at its limit, on a busy machine and with the race detector, and far
// less than what has no limit, which takes minutes.
const soon = 5 * time.Second

// TestSourceLimit: 10,240 bytes are the longest expression, whatever they are.
func TestSourceLimit(t *testing.T) {
	e := newTest(t, Config{})
	pad := strings.Repeat(" ", DefaultSource-1)
	if got := eval1(t, e, nil, "1"+pad); got != "1" {
		t.Errorf("at the limit: %s", got)
	}
	if got := eval1(t, e, nil, "1 "+pad); got != "error: length" {
		t.Errorf("beyond: %s", got)
	}
}

// TestRequestSourceLimit: expressions beyond the sum are too long, the same ones whether or not they are cached.
func TestRequestSourceLimit(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{RequestSource: 100}})
	long := "1" + strings.Repeat(" ", 59)
	for range 2 {
		got := evalAll(t, e, nil, exprsOf("a", long, "b", "2", "c", long, "d", "3"))
		if s := strings.Join(got, " "); s != "1 2 error: length error: length" {
			t.Error(s)
		}
		eval1(t, e, nil, "3")
	}
}

// TestComplexityLimits: nesting, number of nodes after macros, loops in loops.
func TestComplexityLimits(t *testing.T) {
	e := newTest(t, Config{})
	rep := strings.Repeat
	for name, c := range map[string]struct {
		source string
		ok     bool
	}{
		"brackets":         {rep("(", 199) + "1" + rep(")", 199), true},
		"brackets, more":   {rep("(", 250) + "1" + rep(")", 250), false},
		"lists":            {"[" + rep("[", 250) + rep("]", 250) + "]", false},
		"maps":             {rep("{1:", 250) + "1" + rep("}", 250), false},
		"calls":            {rep("size(", 250) + "1" + rep(")", 250), false},
		"methods":          {"''" + rep(".hex_encode()", 250), false},
		"selects":          {"name" + rep(".x", 250), false},
		"indexes":          {"name" + rep("[0]", 250), false},
		"operators":        {"1" + rep("+1", 150), true},
		"operators, more":  {"1" + rep("+1", 250), false},
		"conditions":       {rep("true?1:", 250) + "1", false},
		"and":              {"true" + rep("&&true", 150), true},
		"nots":             {rep("!", 5000) + "true", true}, // an even number of them is none
		"elements":         {"[1" + rep(",1", 4900) + "].size()", true},
		"elements, more":   {"[1" + rep(",1", 5050) + "].size()", false},
		"macros":           {"[1]" + rep(".map(x, [x])", 40) + ".size()", true},
		"nodes of macros":  {"[" + rep("[1].all(x,true),", 600) + "true]", false},
		"loops":            {"[1].map(a, [a].map(b, [b].map(c, c)))", true},
		"loops, more":      {"[1].map(a, [a].map(b, [b].map(c, [c].map(d, d))))", false},
		"loops in a range": {"[1].map(a, a).map(b, b).map(c, c).map(d, d)", true},
	} {
		got := eval1(t, e, documented, c.source)
		if failed := strings.HasPrefix(got, "error"); failed == c.ok || failed && got != "error: complexity" {
			t.Errorf("%s: %.60s", name, got)
		}
	}
}

// numbers is a list literal of n numbers.
func numbers(n int) string { return "[1" + strings.Repeat(",1", n-1) + "]" }

// entries is a map literal of n numbers.
func entries(n int) string {
	text := make([]byte, 0, 8*n)
	for i := range n {
		text = append(strconv.AppendInt(append(text, ','), int64(i), 10), ":1"...)
	}
	return "{" + string(text[1:]) + "}"
}

// TestCostLimits (SECURITY.md, check 28): loops, growing strings and lists, comparisons of lists that hold one another, literals
// made anew by a loop, digests of much: all end, and soon.
func TestCostLimits(t *testing.T) {
	rep := strings.Repeat
	big := fieldsOf("big", rep("x", 700_000), "name", "Bob")
	e := newTest(t, Config{})
	for name, source := range map[string]string{
		"loops":                numbers(300) + ".map(a, " + numbers(300) + ".map(b, " + numbers(300) + ".map(c, c)))",
		"all":                  numbers(900) + ".all(a, " + numbers(900) + ".all(b, true))",
		"empty filters":        numbers(900) + ".filter(a, " + numbers(900) + ".filter(b, false) != [])",
		"literal in a loop":    numbers(2000) + ".map(a, " + numbers(2000) + ")",
		"map literal in one":   numbers(2000) + ".map(a, " + entries(900) + ")",
		"strings that double":  "['ab']" + rep(".map(b, b + b)", 60) + "[0].size()",
		"lists that double":    "[[1]]" + rep(".map(l, l + l)", 60) + "[0].size()",
		"lists of themselves":  "[1]" + rep(".map(b, [b, b])", 40) + " == [1]" + rep(".map(b, [b, b])", 40),
		"unequal to itself":    "[1]" + rep(".map(b, [b, b])", 40) + " != [1]" + rep(".map(b, [b, b])", 40),
		"concatenation":        "big + big",
		"digests":              numbers(100) + ".all(x, big.sha512() != '')",
		"searches":             numbers(100) + ".all(x, !big.contains('xy'))",
		"comparisons":          numbers(100) + ".all(x, big == big)",
		"order":                numbers(100) + ".all(x, big <= big)",
		"encodings":            numbers(100) + ".all(x, big.base64_encode().hex_encode() != '')",
		"mapping case":         "'é' + big.to_uppercase().to_lowercase().to_uppercase().to_lowercase() == ''",
		"masks":                numbers(100) + ".all(x, big.mask() != big.last(3))",
		"maxima":               numbers(400) + ".map(x, max(" + numbers(400) + "))",
		"keyed digests":        numbers(100) + ".map(x, big.hmac_sha256())",
		"sets":                 numbers(400) + ".map(x, 2 in " + numbers(400) + ")",
		"numbers into strings": numbers(4000) + ".map(x, string(x) + string(date('1979-04-05')) + string(1e300))",
	} {
		start := time.Now()
		got := eval1(t, e, big, source)
		if got != "error: cost" {
			t.Errorf("%s: %.60s", name, got)
		}
		if took := time.Since(start); took > soon {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// TestComparingPaysForWhatItCompares: values that hold one another cost nothing where the first look tells them apart.
func TestComparingPaysForWhatItCompares(t *testing.T) {
	lists := "[1]" + strings.Repeat(".map(b, [b, b])", 40)
	maps := "[1]" + strings.Repeat(".map(b, {1: b, 2: b})", 40)
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		"1 in " + lists:                   "false",
		lists + ".contains([2])":          "false",
		maps + " == 1":                    "false",
		lists + " == [1] || true":         "true",
		lists + " != [1]":                 "true",
		lists + " == " + lists:            "error: cost",
		maps + " == " + maps:              "error: cost",
		lists + " == " + lists + "||true": "error: cost",
	} {
		if got := eval1(t, e, nil, source); got != want {
			t.Errorf("%.80s: %s, want %s", source, got, want)
		}
	}
}

// TestRequestCostIsTheSum (SECURITY.md, check 29): expressions that are each within their limit share that of the request, in
// the order in which they run; a request starts anew.
func TestRequestCostIsTheSum(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Cost: 10_000, RequestCost: 30_000}})
	busy := numbers(400) + ".all(x, x == 1)"
	var pairs []string
	for i := range 20 {
		pairs = append(pairs, fmt.Sprintf("e%d", i), busy)
	}
	for range 3 {
		got := evalAll(t, e, nil, exprsOf(pairs...))
		done := 0
		for done < len(got) && got[done] == "true" {
			done++
		}
		if done < 2 || done > 15 {
			t.Errorf("%d of 20 were evaluated", done)
		}
		for _, g := range got[done:] {
			if g != "error: cost" {
				t.Errorf("after the budget's end: %s", g)
			}
		}
	}
}

// TestValueAndElementLimits: no intermediate string or list is larger, even if the result would be small.
func TestValueAndElementLimits(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Value: 1000, Elements: 10}})
	fields := fieldsOf("s", strings.Repeat("x", 600))
	for source, want := range map[string]string{
		"size(s + s.first(400))":                         "1000",
		"size(s + s.first(401))":                         "error: cost",
		"size(bytes(s) + bytes(s))":                      "error: cost",
		"s.hex_encode().size()":                          "error: cost",
		"(" + numbers(5) + "+" + numbers(5) + ").size()": "10",
		"(" + numbers(5) + "+" + numbers(6) + ").size()": "error: cost",
	} {
		if got := eval1(t, e, fields, source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

// TestOutputLimits: one result, all results, nesting; what a failed result wrote is taken back but paid for.
func TestOutputLimits(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Output: 100, RequestOutput: 250}})
	fields := fieldsOf("s", strings.Repeat("x", 90), "t", strings.Repeat("y", 101))
	got := evalAll(t, e, fields, exprsOf("a", "s", "b", "t", "c", "[s, 1]", "d", "s", "e", "s.size()"))
	for i, want := range []string{"", "error: output", "", "error: output", "90"} {
		if want != "" && got[i] != want || want == "" && strings.HasPrefix(got[i], "error") {
			t.Errorf("%d: %s", i, got[i])
		}
	}
	if got := evalAll(t, e, fields, exprsOf("a", "[s, s, s]", "b", "[s, s]", "c", "[[s], t]", "d", "1")); strings.
		Join(got[:3], " ") != "error: output error: output error: output" || got[3] != "1" {
		t.Errorf("failed results: %v", got)
	}
	deep := newTest(t, Config{})
	for depth, want := range map[int]bool{64: true, 66: false} {
		source := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if ok := eval1(t, deep, nil, source) != "error: output"; ok != want {
			t.Errorf("depth %d: %v", depth, ok)
		}
	}
}

// TestDeadline: what is not done when time is up is an error, within an expression and between expressions.
func TestDeadline(t *testing.T) {
	now := noon
	e := newTest(t, Config{Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	exprs := exprsOf("quick", "name", "slow", numbers(900)+".all(x, name.sha256() != '')", "after", "name", "uses", "slow")
	p, err := e.Prepare(documented, exprs)
	if err != nil {
		t.Fatal(err)
	}
	out, results := p.Eval(documented, noon.Add(8*time.Millisecond), nil, nil)
	for i, want := range []string{`"Bob"`, "error: deadline", "error: deadline", "error: dependency"} {
		if got := render(t, out, results[i]); got != want {
			t.Errorf("%s: %s, want %s", exprs[i].Name, got, want)
		}
	}
	out, results = p.Eval(documented, time.Time{}, nil, nil)
	if got := render(t, out, results[3]); got != "true" {
		t.Errorf("without a deadline: %s", got)
	}
}

// TestCelGo1425CostIsLimitedWithStateTracking: cel-go once ignored its cost limit when it tracked state as well. Our
// tracker sits on the frame of an evaluation; it must count with any option, and cel-go's own limit must hold too.
func TestCelGo1425CostIsLimitedWithStateTracking(t *testing.T) {
	e := newTest(t, Config{})
	source := numbers(900) + ".all(x, " + numbers(900) + ".all(y, x == y))"
	plan := func(ours bool, opts ...cel.ProgramOption) cel.Program {
		tree, errs := e.parser.Parse(common.NewTextSource(source))
		if len(errs.GetErrors()) > 0 {
			t.Fatal(errs.ToDisplayString())
		}
		if ours {
			w := walker{e: e, fac: newFactory()}
			w.walk(tree.Expr(), 0)
		}
		prog, err := e.env.PlanProgram(tree, append(opts, cel.CostLimit(uint64(e.limits.Cost)))...)
		if err != nil {
			t.Fatal(err)
		}
		return prog
	}
	for _, opts := range []cel.EvalOption{0, cel.OptTrackState, cel.OptExhaustiveEval, cel.OptOptimize, cel.OptTrackMemory} {
		prog := plan(true, cel.EvalOptions(opts), e.decorate)
		p := &Plan{e: e, order: []int{0}, exprs: []planned{{prog: &program{prog: prog}}}}
		if _, results := p.Eval(nil, time.Time{}, nil, nil); results[0].Err != KindCost {
			t.Errorf("options %d: our limit: %v", opts, results[0].Err)
		}
		var cancelled interpreter.EvalCancelledError
		if _, _, err := plan(false, cel.EvalOptions(opts)).Eval(map[string]any{}); !errors.As(err, &cancelled) {
			t.Errorf("options %d: cel-go's limit: %v", opts, err)
		}
	}
}

// TestCelGo1281NoFunctionBuildsWhatItsArgumentAsksFor: cel-go's lists.range allocated its list before it was charged. It
// is not available, and a number makes none of our functions return more than its subject has.
func TestCelGo1281NoFunctionBuildsWhatItsArgumentAsksFor(t *testing.T) {
	e := newTest(t, Config{})
	for _, source := range []string{
		"lists.range(2000000000)", "range(2000000000)", "[1].flatten(2000000000)",
		"'x'.repeat(2000000000)", "'%2000000000d'.format([1])", "math.greatest([1])", "sets.contains([1], [1])",
		"base64.encode(b'x')", "cel.bind(x, 1, x)", "optional.of(1)", "'x'.split('')", "[1].transformList(i, v, v)",
		"'x'.replace('x', 'y')", "type(1)", "dyn(1)", "google.protobuf.Timestamp{}", "[?1]", "{?1: 2}", "name.?x",
	} {
		if got := eval1(t, e, documented, source); got != "error: unknown_function" && got != "error: compile" {
			t.Errorf("%s: %s", source, got)
		}
	}
	for _, f := range []string{"mask", "first", "last"} {
		if got := eval1(t, e, documented, "name."+f+"(2000000000).size()"); got != "3" {
			t.Errorf("%s: %s", f, got)
		}
	}
}

// TestHostileCorpus (SECURITY.md, check 30): every file of testdata/hostile is an error entry or a value, soon, and the next
// request is served.
func TestHostileCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/hostile/*.cel")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	e := newTest(t, Config{})
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		eval1(t, e, documented, strings.TrimSuffix(string(source), "\n"))
		if took := time.Since(start); took > soon {
			t.Errorf("%s took %v", file, took)
		}
		if got := eval1(t, e, documented, "name"); got != `"Bob"` {
			t.Fatalf("after %s: %s", file, got)
		}
	}
}
