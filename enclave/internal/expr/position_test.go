package expr

import (
	"strings"
	"testing"
	"time"
)

// TestFaultsThatDependOnNoValueHaveTheirKindAndPlace: the column counts bytes, from 1.
func TestFaultsThatDependOnNoValueHaveTheirKindAndPlace(t *testing.T) {
	e := newTest(t, Config{})
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for _, tt := range []struct {
		source string
		kind   Kind
		at     Position
	}{
		{"1 +", KindCompile, Position{1, 4}},
		{"name + 'ü' +* 1", KindCompile, Position{1, 14}},
		{"name +\n\n  )", KindCompile, Position{3, 3}},
		{"'a", KindCompile, Position{1, 1}},
		{"", KindCompile, Position{}},
		{"nam3", KindName, Position{1, 1}},
		{"name + nam3", KindName, Position{1, 8}},
		{"'日本' + nam3", KindName, Position{1, 12}},
		{"name\n+ 'é' + nam3 + zzz + nam3", KindName, Position{2, 10}},
		{"zzz + nam3 + aaa", KindName, Position{1, 1}},
		{"[1].map(x, x + y)", KindName, Position{1, 16}},
		{"upcase(name)", KindFunction, Position{1, 1}},
		{"'é' + upcase (name)", KindFunction, Position{1, 8}},
		{"name.upcase()", KindFunction, Position{1, 6}},
		{"name +\nname.upcase()", KindFunction, Position{2, 6}},
		{"1 + max()", KindFunction, Position{1, 5}},
		{"name + .x", KindCompile, Position{1, 8}},
		{deep, KindComplexity, Position{}},
		{strings.Repeat("x", e.limits.Source+1), KindLength, Position{}},
		{"1 / 0", KindInput, Position{}},
		{"name - 1", KindType, Position{}},
		{"name.size()", KindNone, Position{}},
	} {
		p, err := e.Prepare(documented, exprsOf("r", tt.source))
		if err != nil {
			t.Fatal(err)
		}
		_, results := p.Eval(documented, time.Time{}, nil, nil)
		if got := results[0].Err; got != tt.kind || p.Position(0) != tt.at {
			t.Errorf("%.40q: %v at %v, want %v at %v", tt.source, got, p.Position(0), tt.kind, tt.at)
		}
	}
}

// TestOfManyUnknownNamesTheFirstIsTold, however often each stands there.
func TestOfManyUnknownNamesTheFirstIsTold(t *testing.T) {
	e := newTest(t, Config{})
	source := "[" + strings.Repeat("aa,", 1500) + "b]"
	p, err := e.Prepare(nil, exprsOf("r", source))
	if err != nil {
		t.Fatal(err)
	}
	if vars := p.exprs[0].prog.vars; len(vars) != 2 || p.exprs[0].err != KindName || p.Position(0) != (Position{1, 2}) {
		t.Errorf("%d names, %v at %v", len(vars), p.exprs[0].err, p.Position(0))
	}
}

func FuzzPositionsLieInTheirSource(f *testing.F) {
	for _, s := range []string{"1 +", "a\n+é\n+ b(", "\xff + x", "nam3.\n\nupcase()", "`", "x\r\ny"} {
		f.Add(s)
	}
	e := newTest(f, Config{})
	f.Fuzz(func(t *testing.T, source string) {
		p, err := e.Prepare(nil, exprsOf("r", source))
		if err != nil {
			t.Fatal(err)
		}
		at := p.Position(0)
		if at == (Position{}) {
			return
		}
		lines := strings.Split(source, "\n")
		if at.Line < 1 || int(at.Line) > len(lines) || at.Column < 1 || int(at.Column) > len(lines[at.Line-1])+1 {
			t.Errorf("%q: %v", source, at)
		}
	})
}
