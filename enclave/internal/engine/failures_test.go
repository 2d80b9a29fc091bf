package engine

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// faults are expressions that fail, with what may be told of it: nothing where it depends on a value.
var faults = []struct {
	source string
	want   wire.Failure
}{
	{"ssn9 +", wire.Failure{Kind: wire.ExpressionSyntax, Line: 1, Column: 7}},
	{"ssn9 + 'ü' + secret_typo", wire.Failure{Kind: wire.ExpressionUndeclaredName, Line: 1, Column: 15}},
	{"ssn9.\nlastt(4)", wire.Failure{Kind: wire.ExpressionUnknownFunction, Line: 2, Column: 1}},
	{"ssn9.mask(1, 2, 3)", wire.Failure{Kind: wire.ExpressionUnknownFunction, Line: 1, Column: 6}},
	{strings.Repeat("[", 300) + strings.Repeat("]", 300), wire.Failure{Kind: wire.ExpressionTooComplex}},
	{"'" + strings.Repeat("x", 60<<10) + "'", wire.Failure{Kind: wire.ExpressionTooLong}},
	{"e7 + ''", wire.Failure{Kind: wire.ExpressionCycle}},
	{"e6 + ''", wire.Failure{Kind: wire.ExpressionCycle}},
	{"e0 + ''", wire.Failure{Kind: wire.ExpressionDependency}},
	{"1 / 0", wire.Failure{}},
	{"ssn9 - 1", wire.Failure{}},
	{"int(ssn9 + 'x')", wire.Failure{}},
	{"hmac_sha256(ssn9)", wire.Failure{}},
	{"[1,2,3,4,5].map(a, [1,2,3,4,5].map(b, 'x' + ssn9 + ssn9)).map(c, double(string(1.0 / 0.0)))", wire.Failure{}},
}

func faulty(v *vault, blobs map[string][]byte) *wire.DecryptRequest {
	q := v.request(sealed.EncodingRecord, blobs, "ssn9")
	for i, f := range faults {
		q.AddExpression([]byte("e"+string('0'+rune(i%10))+strings.Repeat("x", i/10)), []byte(f.source))
	}
	return q
}

func TestAFaultOfAnExpressionIsToldUnlessItDependsOnAValue(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	q := faulty(v, w.seal(v, sealed.EncodingRecord, record))
	m, code := w.do(q)
	if code != wire.OK || len(m.Results) != len(faults) {
		t.Fatalf("%v, %d results", code, len(m.Results))
	}
	got := map[uint16]wire.Failure{}
	for _, f := range m.Failures {
		got[f.Index] = f
	}
	for i, f := range faults {
		want := f.want
		if want.Kind != wire.ExpressionUntold {
			want.Index = uint16(i)
		}
		if m.Results[i].Code != wire.ExpressionFailed || got[uint16(i)] != want {
			t.Errorf("%.40q: %v, %+v, want %+v", f.source, m.Results[i].Code, got[uint16(i)], want)
		}
	}
	for i, f := range faults {
		if n := w.engine.Stats().Get(f.want.Kind.Stat()); n == 0 {
			t.Errorf("expression %d is not counted", i)
		}
	}
	if n := w.engine.Stats().Get(wire.ExpressionUntold.Stat()); n != 5 {
		t.Errorf("%d evaluations failed", n)
	}
}

// TestAParentThatReadsNoKindsGetsNone: it has not announced the feature, and its answer is as it was.
func TestAParentThatReadsNoKindsGetsNone(t *testing.T) {
	w := newWorld(t, options{without: wire.FeatureExpressionKinds})
	v := w.vault("v_1", sealed.P256, true)
	m, code := w.do(faulty(v, w.seal(v, sealed.EncodingRecord, record)))
	if code != wire.OK || len(m.Results) != len(faults) || len(m.Failures) != 0 {
		t.Fatalf("%v, %d results, %d kinds", code, len(m.Results), len(m.Failures))
	}
}

// TestTextsOfFaultsQuoteNothing of a source, which may hold a value.
func TestTextsOfFaultsQuoteNothing(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	q := faulty(v, w.seal(v, sealed.EncodingRecord, record))
	c := w.client.NewCall()
	defer c.Release()
	c.Body = q.Append(c.Body)
	if err := w.client.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(c.Answer, []byte("typo")) || bytes.Contains(c.Answer, []byte("lastt")) {
		t.Error("the answer quotes a source")
	}
	for k := range wire.ExpressionKind(wire.ExpressionKinds) {
		if b := wire.AppendProblem(nil, wire.ExpressionFailed, wire.Failure{Kind: k}); !json.Valid(b) {
			t.Errorf("%s is no JSON", b)
		}
	}
}
