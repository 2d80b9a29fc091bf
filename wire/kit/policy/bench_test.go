package policy

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func sha256Of(b []byte) [32]byte { return sha256.Sum256(b) }

// large is a policy of 1,000 rules and 100 principals, in which a third of the rules names everybody.
func large(t testing.TB) *Policy {
	var b strings.Builder
	b.WriteString(smallest + "views: {last4: {from: [ssn9], cel: x}}\nclasses: {ssn: {kind: sealed, domain: d, views: {last4: x}}}\ncallers:\n  api_keys:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "    - {id: caller-%d, sha256: '%064x', domains: ['*']}\n", i, i)
	}
	b.WriteString("rules:\n")
	for i := range 1000 {
		principal := fmt.Sprintf("key:caller-%d", i%100)
		if i%3 == 0 {
			principal = "key:*"
		}
		fmt.Fprintf(&b, "  - {principals: ['%s'], domains: ['tenant-%d.*', 'shared.%d'], operations: [decrypt, reseal], raw: [f%d, 'g%d*'], "+
			"views: [last4], purposes: ['p%d', 'q%d*'], classes: {ssn: {operations: [detokenize], views: [last4]}}, decrypt_rate: {per_second: 5}}\n",
			principal, i, i%7, i%50, i%50, i%5, i%5)
	}
	return parsed(t, b.String())
}

// decide asks for four fields and a view, as a request does.
func decide(p *Policy, pr *Principal, fields [][]byte) bool {
	g := p.Decide(pr, "tenant-999.pii", Decrypt, "q4-invoice")
	ok := g.Allowed()
	for _, f := range fields {
		ok = g.RawBytes(f) && ok
	}
	_, view := g.View("last4")
	return ok && view
}

var someFields = [][]byte{[]byte("f49"), []byte("g49"), []byte("g49_name"), []byte("g49zzz")}

func BenchmarkDecide(b *testing.B) {
	p := large(b)
	pr := p.keys["caller-99"].principal
	b.ReportAllocs()
	for b.Loop() {
		if !decide(p, pr, someFields) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkDecideToken(b *testing.B) {
	p := large(b)
	pr := p.keys["caller-99"].principal
	b.ReportAllocs()
	for b.Loop() {
		g := p.DecideToken(pr, p.Class("ssn"), Detokenize, "", "", "p4")
		if _, ok := g.View("last4"); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	d := large(b).doc
	for b.Loop() {
		if _, err := Compile(d); err != nil {
			b.Fatal(err)
		}
	}
}

func TestADecisionAllocatesNothing(t *testing.T) {
	p := large(t)
	pr := p.keys["caller-99"].principal
	if !decide(p, pr, someFields) {
		t.Fatal("refused")
	}
	if n := testing.AllocsPerRun(100, func() { decide(p, pr, someFields) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		g := p.DecideToken(pr, p.Class("ssn"), Detokenize, "", "", "p4")
		_, _ = g.View("last4")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = p.Valid(testTime) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
