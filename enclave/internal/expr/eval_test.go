package expr

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestExpressionsSeeOneAnother in whatever order they are written, through several steps and inside loops.
func TestExpressionsSeeOneAnother(t *testing.T) {
	e := newTest(t, Config{})
	got := evalAll(t, e, documented, exprsOf(
		"greeting", "'Dear ' + full",
		"full", "name + ' ' + initial",
		"initial", "email.first(1) + '.'",
		"years", "born.age()",
		"born", "date(dob)",
		"next", "years == 46u ? [years, years] : []",
		"looped", "next.map(x, x == years)",
	))
	want := []string{`"Dear Bob B."`, `"Bob B."`, `"B."`, "46", `"1979-04-05T00:00:00+00:00"`, "[46,46]", "[true,true]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestNameOfAFieldIsTheFieldInside an expression of that name, and the expression's result for all others.
func TestNameOfAFieldIsTheFieldInside(t *testing.T) {
	e := newTest(t, Config{})
	got := evalAll(t, e, documented, exprsOf(
		"copy", "email",
		"email", "email.to_lowercase()",
		"domain", "email.endsWith('example.org')",
	))
	if want := []string{`"bob@example.org"`, `"bob@example.org"`, "true"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLoopVariablesAreNotReferences: a loop's variable hides a field or an expression of its name, in the loop alone.
func TestLoopVariablesAreNotReferences(t *testing.T) {
	e := newTest(t, Config{})
	got := evalAll(t, e, documented, exprsOf(
		"x", "[1, 2].map(x, x + 1)",
		"name", "[name].map(name, name + '!')",
		"outside", "[x].map(x, x) + [y]",
		"y", "[5].exists(y, y == 5)",
		"unknown", "[1].map(z, z)[0] + z",
	))
	if want := []string{"[2,3]", `["Bob!"]`, "[[2,3],true]", "true", "error: undeclared_name"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCyclesAreErrors for their members, except that an expression's own name is null where there is no such field; what refers to a member fails with it; the rest is computed.
func TestCyclesAreErrors(t *testing.T) {
	e := newTest(t, Config{})
	got := evalAll(t, e, documented, exprsOf(
		"a", "b + 'x'", "b", "c", "c", "a",
		"self", "[self, self == null]",
		"victim", "a + name",
		"fine", "name",
		"name", "name + email", "email", "name",
	))
	want := []string{
		"error: cycle", "error: cycle", "error: cycle", "[null,true]", "error: dependency",
		"error: dependency", "error: cycle", "error: cycle",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestFailuresSpread: each kind of failure has an entry and no value, and so has everything that refers to it.
func TestFailuresSpread(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Output: 64}})
	for source, kind := range map[string]string{
		"1 +":              "compile",
		"nothing":          "undeclared_name",
		"name + 1":         "type",
		"date('x')":        "input",
		"'x'.hex_decode()": "input",
		"[1,2].map(x, [1,2].map(y, [1,2].map(z, [1].map(q, q))))": "complexity",
		"email + email + email + email + email":                   "output",
		"0.0 / 0.0":                                               "not_json",
	} {
		got := evalAll(t, e, documented, exprsOf("uses2", "uses", "uses", "failed == null ? 1 : 2", "failed", source,
			"absorbs", "true || failed == 1", "other", "1"))
		want := []string{"error: dependency", "error: dependency", "error: " + kind, "error: dependency", "1"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", source, got, want)
		}
	}
}

// TestMaskingNeverFailsOpen (SECURITY.md, check 31): whatever a mask is applied to, the field's text is nowhere unless the mask
// shows that part of it.
func TestMaskingNeverFailsOpen(t *testing.T) {
	e := newTest(t, Config{})
	for _, source := range []string{
		"ssn9.mask", "mask", "ssn9.mask(-1)", "ssn9.mask('x')", "ssn9.mask(null)", "ssn9.mask(1/0)", "ssn9.mask(9)",
		"ssn9.mask(100)", "ssn9.mask(5)", "ssn9.redact()", "ssn9.redact(1)", "ssn9.mask().mask() +", "ssn9.hex_decode()",
		"ssn9.date()", "ssn9.undefined()", "masked(ssn9)", "ssn9.sha256().hex_decode()", "int(ssn9) + 'x'", "{ssn9: 1}[1][2]",
		"ssn9.hmac_sha256(1)", "[ssn9].map(s, s.mask())[0]", "ssn9 ? ssn9 : ssn9",
	} {
		out, results := evalRaw(t, e, documented, exprsOf("ssn9", source, "other", "ssn9"))
		if hidden := string(out[:cap(out)]); containsAny(hidden, "123456", "345678") {
			t.Errorf("%s: shows the value (%v)", source, results[0].Err)
		}
	}
}

func evalRaw(t testing.TB, e *Evaluator, fields []Field, exprs []Expression) ([]byte, []Result) {
	t.Helper()
	p, err := e.Prepare(fields, exprs)
	if err != nil {
		t.Fatal(err)
	}
	return p.Eval(fields, time.Time{}, make([]byte, 0, 4096), nil)
}

// TestResultsAppend to what the caller's slices hold already.
func TestResultsAppend(t *testing.T) {
	e := newTest(t, Config{})
	p, err := e.Prepare(documented, exprsOf("a", "b + '!'", "b", "name", "c", "nothing"))
	if err != nil {
		t.Fatal(err)
	}
	out, results := p.Eval(documented, time.Time{}, []byte("before"), []Result{{Err: KindCost}})
	if len(results) != 4 || results[0].Err != KindCost || string(out[:6]) != "before" || len(out) != len("beforeBobBob!") {
		t.Fatalf("%q %v", out, results)
	}
	if a := results[1]; string(out[a.Start:a.End]) != "Bob!" || a.Kind != String {
		t.Errorf("first: %v", a)
	}
}

// TestTheSameRequestGivesTheSameResults, bytes and offsets, from cold and from warm caches.
func TestTheSameRequestGivesTheSameResults(t *testing.T) {
	exprs := exprsOf("z", "{'b': y, 'a': [x], 'c': name}", "y", "x + 1", "x", "name.size()", "w", "z['a']", "v", "nothing")
	first, firstResults := evalRaw(t, newTest(t, Config{}), documented, exprs)
	e := newTest(t, Config{})
	for range 20 {
		out, results := evalRaw(t, e, documented, exprs)
		if string(out) != string(first) || !slices.Equal(results, firstResults) {
			t.Fatalf("%s %v, then %s %v", first, firstResults, out, results)
		}
	}
}

// TestShapesDoNotMix: requests that differ in where a name ends, or in which names are fields, have plans of their own.
func TestShapesDoNotMix(t *testing.T) {
	e := newTest(t, Config{})
	for _, c := range []struct {
		fields []Field
		exprs  []Expression
		want   string
	}{
		{fieldsOf("ab", "1", "c", "2"), exprsOf("r", "ab"), `"1"`},
		{fieldsOf("a", "1", "bc", "2"), exprsOf("r", "ab"), "error: undeclared_name"},
		{fieldsOf("a", "1"), exprsOf("r", "b", "b", "a"), `"1"`},
		{fieldsOf("b", "1"), exprsOf("r", "b", "b", "a"), "error: dependency"},
		{fieldsOf("b", "1"), exprsOf("r", "b"), `"1"`},
		{fieldsOf("c", "3", "b", "1"), exprsOf("r", "b"), `"1"`},
	} {
		if got := evalAll(t, e, c.fields, c.exprs)[0]; got != c.want {
			t.Errorf("%v: got %s, want %s", c, got, c.want)
		}
	}
}

// TestNamesThatAreNotIdentifiers can be neither seen nor in the way; of equal names the first is seen.
func TestNamesThatAreNotIdentifiers(t *testing.T) {
	e := newTest(t, Config{})
	fields := fieldsOf("a-b", "1", "a.b", "2", "", "3", "true", "4", "in", "5", "é", "6", "a", "7", "a", "8", "int", "9")
	for source, want := range map[string]string{
		"a.b": "error: input", "true": "true", "a": `"7"`, "in": "error: compile", "é": "error: compile", "`a-b`": "error: compile",
		"int": `"9"`, "int('1')": "1", "string": "error: undeclared_name", "@result": "error: compile", "__result__": "error: undeclared_name",
	} {
		if got := eval1(t, e, fields, source); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

// TestWrongNumberOfFieldsFailsClosed: a plan used for another request evaluates nothing.
func TestWrongNumberOfFieldsFailsClosed(t *testing.T) {
	e := newTest(t, Config{})
	p, err := e.Prepare(documented, exprsOf("a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if out, results := p.Eval(documented[1:], time.Time{}, nil, nil); len(out) != 0 || results[0].Err != KindInternal {
		t.Errorf("%q %v", out, results)
	}
}

// TestTooManyExpressions are refused as a whole.
func TestTooManyExpressions(t *testing.T) {
	e := newTest(t, Config{})
	var exprs []Expression
	for i := range 101 {
		exprs = append(exprs, exprsOf(fmt.Sprintf("e%d", i), "1")...)
	}
	if _, err := e.Prepare(nil, exprs); !errors.Is(err, ErrTooMany) {
		t.Errorf("101: %v", err)
	}
	if _, err := e.Prepare(nil, exprs[:100]); err != nil {
		t.Errorf("100: %v", err)
	}
}

// TestStateKeepsNothing: after Eval no work space refers to the request's values.
func TestStateKeepsNothing(t *testing.T) {
	e := newTest(t, Config{})
	st := newState(e)
	e.states.New = func() any { return st }
	evalAll(t, e, documented, exprsOf("a", "name + email", "b", "a + 'x'"))
	for _, v := range append(st.values[:cap(st.values)], st.results[:cap(st.results)]...) {
		if v != nil {
			t.Errorf("a value is kept: %T", v)
		}
	}
	if st.fields != nil || st.enc.out != nil || st.current != nil {
		t.Error("the request is kept")
	}
}

// TestKindTexts: each kind has a name and a static, lower-case text of its own.
func TestKindTexts(t *testing.T) {
	seen := map[string]bool{}
	for k := KindLength; k < numKinds; k++ {
		if k.Text() == "" || k.String() == "" || seen[k.Text()] || seen[k.String()] || failure(k).Error() != k.Text() {
			t.Errorf("kind %d: %q %q", k, k, k.Text())
		}
		seen[k.Text()], seen[k.String()] = true, true
	}
	if Kind(200).Text() != KindInternal.Text() || Kind(200).String() != "unknown" {
		t.Error("kind out of range")
	}
}

// TestNegativeLimitIsRefused.
func TestNegativeLimitIsRefused(t *testing.T) {
	if _, err := New(Config{Limits: Limits{Depth: -1}}); err == nil {
		t.Error("accepted")
	}
}
