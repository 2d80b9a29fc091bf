package expr

import (
	"fmt"
	"strings"
	"testing"
)

// timeGrammar makes expressions of the bytes that a fuzzer gives it: each says which form comes next.
type timeGrammar struct {
	data  []byte
	names []string // what may be referred to
	out   strings.Builder
}

func (g *timeGrammar) next(n int) int {
	if len(g.data) == 0 {
		return 0
	}
	b := int(g.data[0])
	g.data = g.data[1:]
	return b % n
}

// forms are what an expression may be. %s stands for another one, %v for a name.
var forms = withEveryFunction(
	"%v", "1", "[]", "[%s, %s]", "%s + %s", "[0]"+strings.Repeat("+[0]", 30), "%s == %s", "%s in %s", "{%s: %s}", "%s.map(a, %s)",
	"%s.filter(a, %s)", "%s.all(a, %s)", "%s.exists_one(a, %s)", "max(%s, %s)", "min(%s)", "%s ? %s : %s", "%s && %s", "%s || %s", "!%s",
	"string(%s)", "bytes(%s)", "double(%s)", "int(%s)", "%s[%s]", "%s.size()", "%s.contains(%s)", "%s.to_uppercase()", "%s.base64_encode()",
	"%s.hex_encode()", "%s.sha512()", "%s.hmac_sha256()", "%s.mask(%s)", "%s.first(%s)", "%s < %s", "timestamp(%s)", "%s.a", "has(%s.a)", "a",
	"[%v, %v, %v, %v, %v, %v, %v, %v, %v]", "{'a': %s}", "%s != %s", "%s - %s", "date(%s)", "%s.endsWith(%s)", "%s.redact()", "1e308", "'é'", "null",
)

// withEveryFunction adds a form for each function that none names.
func withEveryFunction(forms ...string) []string {
	all := strings.Join(forms, " ")
	for _, s := range (library{}).signatures() {
		if n := s.arity(); !strings.HasPrefix(s.name, "@") && n > 0 && !strings.Contains(all, s.name+"(") {
			forms = append(forms, s.name+"(%s"+strings.Repeat(", %s", n-1)+")")
		}
	}
	return forms
}

func (g *timeGrammar) write(depth int) {
	form := forms[0]
	if depth < 8 {
		form = forms[g.next(len(forms))]
	}
	for {
		before, after, found := strings.Cut(form, "%")
		g.out.WriteString(before)
		if !found {
			return
		}
		if after[0] == 'v' {
			g.out.WriteString(g.names[g.next(len(g.names))])
		} else {
			g.out.WriteByte('(')
			g.write(depth + 1)
			g.out.WriteByte(')')
		}
		form = after[1:]
	}
}

// request makes up to ten expressions, of which each may refer to those before it.
func (g *timeGrammar) request() []Expression {
	var exprs []Expression
	for i := range 10 {
		if len(g.data) == 0 {
			break
		}
		g.out.Reset()
		g.write(0)
		name := fmt.Sprintf("e%d", i)
		exprs = append(exprs, exprsOf(name, g.out.String())...)
		g.names = append(g.names, name)
	}
	return exprs
}

// FuzzEvalTime (SECURITY.md, check 42) looks for expressions that take longer than they are charged: of the CPU time of
// the thread, five times over, so that a busy machine is not taken for one.
func FuzzEvalTime(f *testing.F) {
	names, fields := operands()
	for i := range forms {
		f.Add([]byte{byte(i), 38, 1, 2, 3, 4, 5, 6, 7, 8, 9, byte(i), 9, byte(i), 10, byte(i), 0, 200, 6, 0, 33, 0, 33})
		f.Add([]byte{5, 4, 0, 100, 5, 4, 0, 101, 5, 4, 0, 102, byte(i), 0, 33, 0, 33, 0, 33})
	}
	m := newMeter(f, Limits{})
	f.Fuzz(func(t *testing.T, data []byte) {
		g := timeGrammar{data: data[:min(len(data), 400)], names: append([]string(nil), names...)}
		exprs := append(prelude(), g.request()...)
		s := m.check(t, fmt.Sprintf("%x", data), fields, exprs)
		if most := int64(m.e.limits.RequestCost) * 21 / 20; s.units > most {
			t.Errorf("%d units, at most %d", s.units, most)
		}
		if t.Failed() {
			for _, x := range exprs[len(prelude()):] {
				t.Logf("%s: %s", x.Name, x.Source)
			}
		}
	})
}
