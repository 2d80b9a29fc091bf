package expr

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// accessOf shows what each expression reads, as "name: ssn9! dob", a raw field with an exclamation mark.
func accessOf(t testing.TB, e *Evaluator, fields []Field, exprs []Expression) []string {
	t.Helper()
	p, err := e.Prepare(fields, exprs)
	if err != nil {
		t.Fatal(err)
	}
	shown := make([]string, len(exprs))
	for i := range exprs {
		shown[i] = string(exprs[i].Name) + ":"
	}
	for _, r := range p.Reads() {
		shown[r.Expression] += " " + string(fields[r.Field].Name)
		if r.Raw {
			shown[r.Expression] += "!"
		}
	}
	return shown
}

var accessFields = fieldsOf("ssn9", "123-45-6789", "dob", "1979-04-05", "name", "Ada")

// TestAccessOfOneExpression is the table of what reduces and what does not.
func TestAccessOfOneExpression(t *testing.T) {
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		// As it is, or in a form that can be turned back.
		"ssn9":                             "ssn9!",
		"ssn9 + ''":                        "ssn9!",
		"'' + ssn9":                        "ssn9!",
		"true ? ssn9 : 'x'":                "ssn9!",
		"false ? ssn9 : 'x'":               "ssn9!", // it can
		"name == 'x' ? ssn9 : ssn9.mask()": "ssn9! name",
		"[ssn9]":                           "ssn9!",
		"{'a': ssn9}":                      "ssn9!",
		"{ssn9: 1}":                        "ssn9!",
		"{'a': ssn9}.a":                    "ssn9!",
		"{'a': ssn9, 'b': name}['b']":      "ssn9! name!", // which member is not followed
		"string(ssn9)":                     "ssn9!",
		"bytes(ssn9)":                      "ssn9!",
		"string(bytes(ssn9))":              "ssn9!",
		"ssn9.base64_encode()":             "ssn9!",
		"hex_encode(ssn9)":                 "ssn9!",
		"ssn9.to_uppercase()":              "ssn9!",
		"int(ssn9)":                        "ssn9!",
		"int(ssn9) % 10":                   "ssn9!",
		"max(ssn9, 'a')":                   "ssn9!",
		"[ssn9].map(x, x)":                 "ssn9!",
		"[ssn9, name].filter(x, x != '')":  "ssn9! name!",
		"date(dob)":                        "dob!",
		"sha256(ssn9)":                     "ssn9!", // it can be guessed
		"ssn9[0]":                          "ssn9!", // any position of a string or of a list
		"ssn9 == ''  || true ? ssn9 : ''":  "ssn9!",

		// Reduced.
		"ssn9.mask()":                                 "ssn9",
		"mask(ssn9, 4)":                               "ssn9",
		"ssn9.last(4)":                                "ssn9",
		"ssn9.first(0)":                               "ssn9",
		"ssn9.redact()":                               "ssn9",
		"hmac_sha256(ssn9)":                           "ssn9",
		"hmac_sha256(ssn9) + redact(dob)":             "ssn9 dob",
		"size(ssn9)":                                  "ssn9",
		"ssn9 == name":                                "ssn9 name",
		"ssn9 in ['1', '2']":                          "ssn9",
		"ssn9.contains('1') && !is_empty(name)":       "ssn9 name",
		"has({'a': ssn9}.a)":                          "ssn9",
		"date(dob).age()":                             "dob",
		"date(dob).age() > 17u ? 'adult' : 'minor'":   "dob",
		"date(dob).getFullYear()":                     "dob",
		"[date(dob).getMonth(), date(dob).getDate()]": "dob",
		"'x'": "", "true ? 1 : size(ssn9)": "ssn9",
		"[ssn9, name].map(x, x.mask(4))":                 "ssn9 name",
		"[ssn9, name].exists(x, x.startsWith('1'))":      "ssn9 name",
		"[1, 2, 3].map(i, ssn9.mask(1))":                 "ssn9",
		"'***-**-' + ssn9.last(4) + ' ' + name.first(1)": "ssn9 name",
		"name == 'Ada' ? ssn9.last(4) : ssn9.first(4)":   "ssn9 name", // one of the two

		// Reduced too little.
		"ssn9.last(5)":                                        "ssn9!",
		"ssn9.last(256)":                                      "ssn9!",
		"ssn9.first(260)":                                     "ssn9!",
		"ssn9.mask(9)":                                        "ssn9!",
		"ssn9.first(size(name))":                              "ssn9! name",
		"ssn9.first(2 + 2)":                                   "ssn9!", // not a constant
		"ssn9.first(4) + ssn9.last(4)":                        "ssn9!",
		"[ssn9.first(3), ssn9.last(2)]":                       "ssn9!",
		"ssn9.first(9).last(4)":                               "ssn9",
		"[1, 2, 3, 4, 5, 6].map(i, ssn9.first(i).last(1))":    "ssn9!",
		"([1] + [2]).map(i, ssn9.mask(1))":                    "ssn9!", // rounds are not known
		"['1', '2'].filter(d, ssn9.startsWith(d))":            "ssn9",
		"(['1'] + ['2']).filter(d, ssn9.startsWith(d))":       "ssn9!",
		"(['1'] + ['2']).exists(d, ssn9.startsWith(d))":       "ssn9",
		"[date(dob).getFullYear(), date(dob).getDayOfYear()]": "dob!",
		"[date(dob).getFullYear(), date(dob).getMonth(), date(dob).getDate()]": "dob!",
		"[" + strings.Repeat("ssn9 == 'a',", ReducedFacts) + "1]":              "ssn9",
		"[" + strings.Repeat("ssn9 == 'a',", ReducedFacts+1) + "1]":            "ssn9!",

		// Never evaluated, so it has no value.
		"ssn9 +":         "",
		"ssn9 + nothing": "",
		"nothing(ssn9)":  "",
	} {
		got := accessOf(t, e, accessFields, exprsOf("x", source))[0]
		if want := strings.TrimRight("x: "+want, " "); got != want {
			t.Errorf("%s\n  got  %s\n  want %s", source, got, want)
		}
	}
}

func TestAccessThroughOtherExpressions(t *testing.T) {
	e := newTest(t, Config{})
	for name, c := range map[string]struct{ exprs, want []string }{
		"passed on": {
			[]string{"x2", "x1", "x1", "ssn9", "x3", "x2 + x1"}, []string{"x2: ssn9!", "x1: ssn9!", "x3: ssn9!"},
		},
		"reduced on the way": {
			[]string{"x1", "ssn9", "x2", "x1.mask()", "x3", "x2"}, []string{"x1: ssn9!", "x2: ssn9", "x3: ssn9"},
		},
		"put together again": {
			[]string{"a", "ssn9.first(4)", "b", "ssn9.last(4)", "c", "a + b"}, []string{"a: ssn9", "b: ssn9", "c: ssn9!"},
		},
		"an expression hides the field of its name": {
			[]string{"ssn9", "ssn9.mask(4)", "x", "ssn9"}, []string{"ssn9: ssn9", "x: ssn9"},
		},
		"a variable of a loop hides both": {
			[]string{"x", "['a'].map(ssn9, ssn9)", "y", "['a'].map(x, x)"}, []string{"x:", "y:"},
		},
		"its own name, without such a field, is nothing": {
			[]string{"x", "[x, dob]", "y", "x"}, []string{"x: dob!", "y: dob!"},
		},
		"a cycle has no value": {
			[]string{"x", "y + ssn9", "y", "x + dob", "z", "x"}, []string{"x:", "y:", "z:"},
		},
		"beside what fails": {
			[]string{"x", "ssn9 +", "y", "x + dob"}, []string{"x:", "y: dob!"},
		},
	} {
		if got := accessOf(t, e, accessFields, exprsOf(c.exprs...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestAccessThatTakesTooLongIsRaw: a plan's analysis has a budget, and what comes after it is raw. What came before is not.
func TestAccessThatTakesTooLongIsRaw(t *testing.T) {
	e := newTest(t, Config{})
	list := "[" + strings.Repeat("'1',", maxRounds-1) + "'2']"
	loops := fmt.Sprintf("%[1]s.map(x, %[1]s.map(y, %[1]s.map(z, ok ? redact(name) : x)))", list)
	got := accessOf(t, e, accessFields, exprsOf("before", "ssn9.mask()", "x", loops, "ok", "size(ssn9) == 1", "y", loops,
		"after", "ssn9.mask()", "neither", "'x'"))
	want := []string{"before: ssn9", "x: ssn9! name", "ok: ssn9", "y: ssn9! name!", "after: ssn9!", "neither:"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNoFunctionShowsMoreThanTheAnalysisSays calls each function with a field of letters that nothing else has.
func TestNoFunctionShowsMoreThanTheAnalysisSays(t *testing.T) {
	e := newTest(t, Config{})
	for _, s := range (library{now: e.now}).signatures() {
		if !strings.HasPrefix(s.name, "@") && s.arity() > 0 {
			for _, more := range []string{", 4", ", 9", ", '0'", ", other"} {
				checkAccess(t, e, exprsOf("x", s.name+"(secret"+strings.Repeat(more, s.arity()-1)+")"))
			}
		}
	}
}

// TestNoFunctionReducesUnlessItIsListed: each function of the language over a whole field passes it on, but for these.
func TestNoFunctionReducesUnlessItIsListed(t *testing.T) {
	e := newTest(t, Config{})
	reduces := []string{
		"age", "contains", "endsWith", "first", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear",
		"getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "hmac_sha256", "is_empty", "last", "mask",
		"redact", "size", "startsWith",
	}
	for _, s := range (library{now: e.now}).signatures() {
		if strings.HasPrefix(s.name, "@") || s.arity() == 0 {
			continue
		}
		source := s.name + "(ssn9" + strings.Repeat(", 4", s.arity()-1) + ")"
		raw := strings.HasSuffix(accessOf(t, e, accessFields, exprsOf("x", source))[0], "ssn9!")
		if want := !slices.Contains(reduces, s.name); raw != want {
			t.Errorf("%s: raw %v", source, raw)
		}
	}
}
