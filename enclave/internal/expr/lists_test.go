package expr

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// chained are expressions of 40 KB that join lists, each to that of the one before it, and go through the longest in
// each way that there is.
func chained() []Expression {
	var pairs []string
	for i := range 50 {
		from := "[0]"
		if i > 0 {
			from = fmt.Sprintf("x%d", i-1)
		}
		pairs = append(pairs, fmt.Sprintf("x%d", i), from+strings.Repeat("+[0]", 190))
	}
	for i, use := range []string{
		"x10 == x10", "x10.all(a, a == 0)", "1 in x10", "x10", "x10.map(a, a)", "max(x10, x10)", "x10[1900]", "x10 + x10 == x10",
		"[x10, x10, x10, x10] == [x10, x10, x10, x9]", "[x10, x10, x10]",
	} {
		pairs = append(pairs, fmt.Sprintf("y%d", i), use)
	}
	return exprsOf(pairs...)
}

// TestJoinedListsCostWhatIsCharged (SECURITY.md, check 42): a list that many joins made is gone through like any other,
// and the joins are paid for by the elements that they copy.
func TestJoinedListsCostWhatIsCharged(t *testing.T) {
	m := newMeter(t, Limits{Cost: 2_000_000, RequestCost: 20_000_000})
	s := m.check(t, "chained lists", nil, chained())
	if s.units < 1_000_000 {
		t.Errorf("%d units for joins that copy a million elements", s.units)
	}
	def := newMeter(t, Limits{})
	s = def.check(t, "chained lists, default limits", nil, chained())
	t.Logf("within the default limits: %d units, %v", s.units, s.took)
	got := evalAll(t, def.e, nil, chained())
	if got[0] == "error: cost" || got[49] != "error: cost" && got[49] != "error: dependency" {
		t.Errorf("%.50s, %.50s", got[0], got[49])
	}
}

// TestJoinedListsAreLists: joining gives what it always gave.
func TestJoinedListsAreLists(t *testing.T) {
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		"[1] + [] + [2, 'a'] + [[3]]":                    `[1,2,"a",[3]]`,
		"([1] + [2])[1] + ([3] + [4]).size()":            "4",
		"[1].map(a, [a] + [a])":                          "[[1,1]]",
		"[1, 2, 3].filter(a, a > 1) + [4].map(a, a * 2)": "[2,3,8]",
		"([1] + [2]) == [1.0, 2u]":                       "true",
		"[1] + 1":                                        "error: type",
		"[1] + null":                                     "error: type",
		"1 + [1]":                                        "error: type",
		"{1: 2} + {1: 2}":                                "error: type",
		"null + null":                                    "error: type",
		"'a' + b'b'":                                     "error: type",
		"2 in [1] + [2]":                                 "true",
		"max([1] + [7])":                                 "7",
	} {
		if got := eval1(t, e, nil, source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

// TestTheDeadlineIsSeenInside one comparison, one search and one result, not only between calls: each goes through
// thousands of elements here, and time is up after a few looks at the clock.
func TestTheDeadlineIsSeenInside(t *testing.T) {
	now := noon
	e := newTest(t, Config{Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	nested := "[1, 2]" + strings.Repeat(".map(b, [b, b])", 12)
	for _, use := range []string{"x == x", "x != x", "[[x]] == [[x]]", "x in [x]", "[x].contains(x)", "x", "{'a': x}", "[{1: x}]"} {
		exprs := exprsOf("x", nested+".size() == 1 ? [] : "+nested, "y", use)
		p, err := e.Prepare(nil, exprs)
		if err != nil {
			t.Fatal(err)
		}
		for _, looks := range []int{30, 10_000} {
			_, results := p.Eval(nil, now.Add(time.Duration(looks)*time.Millisecond), nil, nil)
			if late := results[1].Err == KindDeadline; late != (looks == 30) {
				t.Errorf("%s, %d looks: %v, %v", use, looks, results[0].Err, results[1].Err)
			}
		}
	}
}
