package policy

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

var testTime = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parsed(t testing.TB, text string) *Policy {
	t.Helper()
	d, err := ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sample(t testing.TB) *Policy { return parsed(t, readFile(t, "policy.yaml")) }

func TestTheDesignsPolicyIsRead(t *testing.T) {
	d := sample(t).Document()
	if d.Version != 7 || d.NotAfter != time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC) || len(d.Rules) != 2 ||
		d.APIKeys[0].ID != "billing" || d.Issuers[0].Keys.Len() != 1 || d.Schemas["default"]["ssn9"] != "^[0-9]{9}$" ||
		d.Classes["ssn"].Views["last4"] != "value.last(4)" || d.Classes["ssn"].Bind != "none" || d.Revocations.Least != 12 ||
		d.Views["adult"].CEL != "date(dob).age() >= 18" || d.Rules[0].Rate.PerDay != 200000 || !d.HasDenied ||
		!d.Rules[1].Classes["ssn"].Raw || !slices.Equal(d.Rules[1].Operations, []Operation{Decrypt, Reseal, Validate}) {
		t.Errorf("%+v", d)
	}
}

func TestTheCasesOfTheFileHold(t *testing.T) {
	p := sample(t)
	cases, err := ParseCases(readFile(t, "cases.yaml"))
	if err != nil || len(cases) < 15 {
		t.Fatal(err, len(cases))
	}
	for _, c := range cases {
		if findings := p.Test(&c); len(findings) != 0 {
			t.Errorf("%s: %v", c.Name, findings)
		}
		c.Allow = !c.Allow
		if findings := p.Test(&c); len(findings) == 0 {
			t.Errorf("%s: the contrary holds too", c.Name)
		}
	}
}

func TestCasesHaveOneForm(t *testing.T) {
	const good = `{name: a, principal: "key:a", domain: d, operation: decrypt, expect: allow}`
	if _, err := ParseCases("cases: [" + good + "]\n"); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"none":               "\n",
		"no cases":           "x: []\n",
		"unknown member":     "cases: [" + strings.Replace(good, "name", "nam", 1) + "]\n",
		"unknown operation":  "cases: [" + strings.Replace(good, "decrypt", "decrypts", 1) + "]\n",
		"unknown verdict":    "cases: [" + strings.Replace(good, "allow", "allowed", 1) + "]\n",
		"no domain":          "cases: [" + strings.Replace(good, "domain: d, ", "", 1) + "]\n",
		"both":               "cases: [" + strings.Replace(good, "domain: d", "domain: d, class: c", 1) + "]\n",
		"raw of a domain":    "cases: [" + strings.Replace(good, "domain: d", "domain: d, raw: true", 1) + "]\n",
		"fields of a class":  "cases: [" + strings.Replace(good, "domain: d", "class: c, fields: [a]", 1) + "]\n",
		"a number as a name": "cases: [" + strings.Replace(good, "name: a", "name: 1", 1) + "]\n",
	} {
		var e *Error
		if _, err := ParseCases(text); !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// with replaces a line of the smallest policy, or adds to it.
const smallest = "version: 1\nissued: 2026-06-01T00:00:00Z\nnot_after: 2027-06-01T00:00:00Z\n"

func TestDocumentsThatTwoReadersCouldUnderstandDifferentlyAreRefused(t *testing.T) {
	if _, err := ParseDocument(smallest); err != nil {
		t.Fatal(err)
	}
	const key = "callers: {api_keys: [{id: a, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, domains: [d]}]}\n"
	if _, err := ParseDocument(smallest + key); err != nil {
		t.Fatal(err)
	}
	rule := func(members string) string {
		return smallest + key + "rules: [{principals: ['key:a'], " + members + "}]\n"
	}
	if _, err := ParseDocument(rule("operations: [decrypt]")); err != nil {
		t.Fatal(err)
	}
	const jwks = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	oidc := func(issuer, set string) string {
		return smallest + "callers: {oidc: [{issuer: '" + issuer + "', audience: a, jwks: " + set + "}]}\n"
	}
	if _, err := ParseDocument(oidc("https://i", jwks)); err != nil {
		t.Fatal(err)
	}
	hash := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for what, text := range map[string]string{
		"empty":                        "",
		"a comment":                    "# nothing\n",
		"a list":                       "[]\n",
		"text":                         "x\n",
		"no YAML":                      "a: [\n",
		"a tab":                        smallest + "views: {}\t\n",
		"a carriage return":            strings.ReplaceAll(smallest, "\n", "\r\n"),
		"no last line feed":            strings.TrimSuffix(smallest, "\n"),
		"not UTF-8":                    smallest + "# \xff\n",
		"too long":                     smallest + strings.Repeat("#\n", MaxText/2),
		"two documents":                smallest + "---\n" + smallest,
		"unknown member":               smallest + "allow: all\n",
		"no version":                   strings.Replace(smallest, "version: 1\n", "", 1),
		"a member twice":               smallest + "version: 2\n",
		"a member in another case":     smallest + "Version: 2\n",
		"version 0":                    strings.Replace(smallest, "1\n", "0\n", 1),
		"version -1":                   strings.Replace(smallest, "1\n", "-1\n", 1),
		"a huge version":               strings.Replace(smallest, "1\n", "4294967296\n", 1),
		"a fraction":                   strings.Replace(smallest, "1\n", "1.0\n", 1),
		"a version as text":            strings.Replace(smallest, "1\n", "'1'\n", 1),
		"a version as null":            strings.Replace(smallest, "1\n", "null\n", 1),
		"no time":                      strings.Replace(smallest, "2027-06-01T00:00:00Z", "2027-06-01", 1),
		"ended before it began":        strings.Replace(smallest, "2027", "2025", 1),
		"an anchor":                    smallest + "tenants: &a [x]\n",
		"an alias":                     smallest + "tenants: &a [x]\naudiences: *a\n",
		"a tag":                        smallest + "tenants: !!seq [x]\n",
		"a merge":                      smallest + "schemas: {a: {<<: {b: c}}}\n",
		"deep":                         smallest + "callers: {oidc: [{jwks: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}]}\n",
		"deep by dashes":               smallest + strings.Repeat("- ", 40) + "a\n",
		"deep by indentation":          smallest + strings.Repeat(" ", 200) + "a\n",
		"a long line":                  smallest + "# " + strings.Repeat("x", maxLine) + "\n",
		"a name that is a number":      smallest + "schemas: {1: {a: b}}\n",
		"a name that is a list":        smallest + "schemas: {[a]: {a: b}}\n",
		"no regular expression":        smallest + "schemas: {a: {b: '('}}\n",
		"a schema's field":             smallest + "schemas: {a: {B: x}}\n",
		"a schema's name":              smallest + "schemas: {_a: {b: x}}\n",
		"a tenant":                     smallest + "tenants: [A]\n",
		"a tenant twice":               smallest + "tenants: [a, a]\n",
		"a tenant with a dot at first": smallest + "tenants: [.a]\n",
		"tenants as a map":             smallest + "tenants: {a: b}\n",
		"a hash":                       smallest + "deny_vaults: " + hash[1:] + "\n",
		"a hash in capitals":           smallest + "deny_vaults: " + strings.ToUpper(hash) + "\n",
		"a caller twice":               smallest + "callers: {api_keys: [{id: a, sha256: " + hash + ", domains: []}], keys: [{id: a, ed25519: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}]}\n",
		"a caller without domains":     smallest + "callers: {api_keys: [{id: a, sha256: " + hash + "}]}\n",
		"a caller's id":                smallest + "callers: {api_keys: [{id: 'a b', sha256: " + hash + ", domains: []}]}\n",
		"a weak key":                   smallest + "callers: {keys: [{id: a, ed25519: AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}]}\n",
		"a short key":                  smallest + "callers: {keys: [{id: a, ed25519: AQAA}]}\n",
		"an issuer with a bar":         oidc("https://a|b", jwks),
		"an issuer without keys":       oidc("https://a", `{"keys":[]}`),
		"an issuer with other JSON":    oidc("https://a", `[1.5]`),
		"an issuer with no JSON":       oidc("https://a", `{"keys":[null]}`),
		"an issuer twice":              smallest + "callers: {oidc: [{issuer: i, audience: a, jwks: " + jwks + "}, {issuer: i, audience: b, jwks: " + jwks + "}]}\n",
		"a class's name":               smallest + "classes: {S: {kind: sealed, domain: d}}\n",
		"a class's kind":               smallest + "classes: {ssn: {kind: open, domain: d}}\n",
		"a class's domain":             smallest + "classes: {ssn: {kind: sealed, domain: 'd.{tenant}.{tenant}'}}\n",
		"a class's pattern":            smallest + "classes: {ssn: {kind: sealed, domain: d, pattern: '('}}\n",
		"a class's view":               smallest + "classes: {ssn: {kind: sealed, domain: d, views: {'a b': x}}}\n",
		"a view of nothing":            smallest + "views: {a: {from: [], cel: x}}\n",
		"a view's name":                smallest + "views: {A: {from: [a], cel: x}}\n",
		"a view without expression":    smallest + "views: {a: {from: [a]}}\n",
		"a revocation key":             smallest + "revocations: {key: x, least: 1}\n",
		"no principals":                smallest + "rules: [{principals: [], operations: [decrypt]}]\n",
		"a principal of no kind":       smallest + "rules: [{principals: ['mtls:a'], operations: [decrypt]}]\n",
		"a principal without a kind":   smallest + "rules: [{principals: [billing], operations: [decrypt]}]\n",
		"a principal with two stars":   smallest + "rules: [{principals: ['key:*a*'], operations: [decrypt]}]\n",
		"an unknown principal":         smallest + "rules: [{principals: ['key:b'], operations: [decrypt]}]\n",
		"no operations":                rule("domains: [d]"),
		"empty operations":             rule("operations: []"),
		"an unknown operation":         rule("operations: [all]"),
		"every operation":              rule("operations: ['*']"),
		"an operation twice":           rule("operations: [decrypt, decrypt]"),
		"raw as true":                  rule("operations: [decrypt], raw: true"),
		"raw with a star within":       rule("operations: [decrypt], raw: ['a*b']"),
		"an unknown view":              rule("operations: [decrypt], views: [last4]"),
		"an unknown class":             rule("classes: {ssn: {operations: [tokenize]}}"),
		"raw without operations":       rule("classes: {}, raw: [a]"),
		"an unknown tenant":            rule("operations: [decrypt], tenants: [acme]"),
		"an unknown audience":          rule("operations: [decrypt], audiences: [psp]"),
		"a rate of nothing":            rule("operations: [decrypt], decrypt_rate: {}"),
		"a burst of a day":             rule("operations: [decrypt], decrypt_rate: {per_day: 5, burst: 2}"),
		"a rate of zero":               rule("operations: [decrypt], decrypt_rate: {per_second: 0}"),
		"a rate that is no number":     rule("operations: [decrypt], decrypt_rate: {per_second: .nan}"),
		"a rate without end":           rule("operations: [decrypt], decrypt_rate: {per_second: .inf}"),
		"a negative rate":              rule("operations: [decrypt], decrypt_rate: {per_second: -1}"),
		"a huge rate":                  rule("operations: [decrypt], decrypt_rate: {per_second: 1e300}"),
		"a tiny rate":                  rule("operations: [decrypt], decrypt_rate: {per_second: 1e-300}"),
		"a part of a day":              rule("operations: [decrypt], decrypt_rate: {per_day: 1.5}"),
	} {
		var e *Error
		if _, err := ParseDocument(text); !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		} else if e.Problem == "" || strings.Contains(err.Error(), "e3b0c4") {
			t.Errorf("%s: %v", what, err)
		}
	}
	class := smallest + key + "classes: {ssn: {kind: sealed, domain: d}}\nrules: [{principals: ['key:a'], classes: {ssn: {operations: [tokenize], views: [x]}}}]\n"
	if _, err := ParseDocument(class); err == nil {
		t.Error("a view that the class has none of")
	}
	many := smallest + key + "rules:\n" + strings.Repeat("- {principals: ['key:a'], operations: [decrypt]}\n", MaxRules)
	if _, err := ParseDocument(many); err != nil {
		t.Error(err)
	}
	if _, err := ParseDocument(many + "- {principals: ['key:a'], operations: [decrypt]}\n"); err == nil {
		t.Error("a rule too many")
	}
}

// An error names the line and the member.
func TestAnErrorSaysWhere(t *testing.T) {
	_, err := ParseDocument(smallest + "views:\n  a: {from: [x], cel: y}\n  b: {from: [X], cel: y}\n")
	if err == nil || err.Error() != "policy: line 6: views.b.from[0]: must match [a-z][a-z0-9_]*, and not stand twice" {
		t.Error(err)
	}
}

// model is the obvious way to decide.
type model struct{ d *Document }

func modelMatch(patterns []string, name string) bool {
	for _, p := range patterns {
		if p == name || len(p) > 0 && p[len(p)-1] == '*' && len(name) >= len(p)-1 && name[:len(p)-1] == p[:len(p)-1] {
			return true
		}
	}
	return false
}

func (m model) rules(a *Ask) (out []*Rule) {
	for i := range m.d.Rules {
		r := &m.d.Rules[i]
		if !modelMatch(r.Principals, a.Principal) || len(r.Purposes) > 0 && !modelMatch(r.Purposes, a.Purpose) {
			continue
		}
		if a.Class == "" && modelMatch(r.Domains, a.Domain) && slices.Contains(r.Operations, a.Operation) {
			out = append(out, r)
		}
		c := r.Classes[a.Class]
		tenant := modelMatch(r.Tenants, a.Tenant) || len(r.Tenants) == 0 && a.Tenant == ""
		audience := modelMatch(r.Audiences, a.Audience) || len(r.Audiences) == 0 && a.Audience == ""
		if a.Class != "" && c != nil && slices.Contains(c.Operations, a.Operation) && tenant && audience {
			out = append(out, r)
		}
	}
	return out
}

// names and patterns of a small world, so that they meet.
var (
	someNames    = rapid.SampledFrom([]string{"", "a", "ab", "abc", "abd", "b", "ba", "c", "ca.b", "ca.bc"})
	somePatterns = rapid.SampledFrom([]string{"*", "a", "a*", "ab", "ab*", "abc", "abc*", "abd*", "b", "ba*", "c*", "ca.*", "ca.b*", "zz*"})
	someOps      = rapid.SampledFrom([]Operation{Decrypt, Reseal, Tokenize})
	someViews    = []string{"v1", "v2"}
)

func drawPolicy(t *rapid.T) *Document {
	d := &Document{
		Version: 1, Classes: map[string]*Class{"cc": {Name: "cc", Views: map[string]string{"v1": "x", "v2": "y"}}, "dd": {Name: "dd"}},
		Views: map[string]*View{"v1": {Name: "v1"}, "v2": {Name: "v2"}},
	}
	patterns := func(name string) []string { return rapid.SliceOfN(somePatterns, 0, 3).Draw(t, name) }
	for range rapid.IntRange(0, 12).Draw(t, "rules") {
		r := Rule{
			Principals: patterns("principals"), Domains: patterns("domains"), Raw: patterns("raw"), Tenants: patterns("tenants"),
			Audiences: patterns("audiences"), Purposes: patterns("purposes"),
			Operations: rapid.SliceOfN(someOps, 0, 3).Draw(t, "operations"),
			Views:      rapid.SliceOfN(rapid.SampledFrom(someViews), 0, 2).Draw(t, "views"),
		}
		if rapid.Bool().Draw(t, "class") {
			r.Classes = map[string]*ClassRule{"cc": {
				Operations: rapid.SliceOfN(someOps, 0, 3).Draw(t, "class operations"), Raw: rapid.Bool().Draw(t, "class raw"),
				Views: rapid.SliceOfN(rapid.SampledFrom(someViews), 0, 2).Draw(t, "class views"),
			}}
		}
		d.Rules = append(d.Rules, r)
	}
	return d
}

func TestDecisionsAreThoseOfTheObviousModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawPolicy(t)
		p, err := Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			a := Ask{
				Principal: someNames.Draw(t, "principal"), Purpose: someNames.Draw(t, "purpose"), Operation: someOps.Draw(t, "operation"),
				Fields: []string{someNames.Draw(t, "field")}, Views: []string{"v1", "v2", "v3"},
			}
			pr := p.Principal(a.Principal)
			var view func(name string) bool
			var raw, allowed bool
			if rapid.Bool().Draw(t, "tokens") {
				a.Class, a.Raw, a.Fields = rapid.SampledFrom([]string{"cc", "dd", "ee"}).Draw(t, "of class"), true, nil
				a.Tenant, a.Audience = someNames.Draw(t, "tenant"), someNames.Draw(t, "audience")
				g := p.DecideToken(pr, p.Class(a.Class), a.Operation, a.Tenant, a.Audience, a.Purpose)
				allowed, raw = g.Allowed(), g.Raw()
				view = func(name string) bool { _, ok := g.View(name); return ok }
			} else {
				a.Domain = someNames.Draw(t, "domain")
				g := p.Decide(pr, a.Domain, a.Operation, a.Purpose)
				allowed, raw = g.Allowed(), g.Raw(a.Fields[0])
				if raw != g.RawBytes([]byte(a.Fields[0])) {
					t.Fatal("bytes and text differ")
				}
				view = func(name string) bool { v, ok := g.View(name); return ok && v.Name == name }
			}
			rules := model{d}.rules(&a)
			wantRaw := slices.ContainsFunc(rules, func(r *Rule) bool {
				return a.Class == "" && modelMatch(r.Raw, a.Fields[0]) || a.Class != "" && r.Classes[a.Class].Raw
			})
			if allowed != (len(rules) > 0) || raw != wantRaw {
				t.Fatalf("%+v: allowed %v, raw %v; want %v, %v", a, allowed, raw, len(rules) > 0, wantRaw)
			}
			e := p.Explain(&a)
			explained := len(e.Raw) > 0
			if a.Class == "" {
				explained = len(e.Fields[a.Fields[0]]) > 0
			}
			if e.Allowed != allowed || explained != raw || len(e.Rules) != len(d.Rules) {
				t.Fatalf("%+v: explained as %+v", a, e)
			}
			for _, name := range a.Views {
				want := slices.ContainsFunc(rules, func(r *Rule) bool {
					if a.Class != "" {
						return slices.Contains(r.Classes[a.Class].Views, name)
					}
					return slices.Contains(r.Views, name)
				})
				if view(name) != want || (len(e.Views[name]) > 0) != want {
					t.Fatalf("%+v: view %s, want %v", a, name, want)
				}
			}
		}
	})
}

func TestNobodyAndTheWrongPolicysPrincipalMayDoNothing(t *testing.T) {
	p, other := sample(t), sample(t)
	for what, pr := range map[string]*Principal{"nobody": nil, "another policy's": other.Principal("key:billing"), "a stranger": {Name: "key:billing"}} {
		g := p.Decide(pr, "acme.pii", Decrypt, "invoice")
		if _, ok := g.View("last4"); ok || g.Allowed() || g.Raw("email") {
			t.Errorf("%s is allowed", what)
		}
		tg := p.DecideToken(pr, p.Class("ssn"), Detokenize, "acme", "psp", "invoice")
		if _, ok := tg.View("last4"); ok || tg.Allowed() || tg.Raw() {
			t.Errorf("%s is allowed tokens", what)
		}
	}
	pr := p.Principal("key:billing")
	if g := p.Decide(pr, "acme.pii", operations, "invoice"); g.Allowed() {
		t.Error("an operation that there is none of")
	}
	none := p.DecideToken(pr, p.Class("none"), Detokenize, "", "", "")
	if _, ok := none.View("x"); ok || none.Allowed() || none.Raw() {
		t.Error("a class that there is none of")
	}
	if operations.String() != "unknown" || Audit.String() != "audit" {
		t.Error("names of operations")
	}
}

func TestExplainNamesTheRuleAndWhatDoesNotMatch(t *testing.T) {
	p := sample(t)
	ask := Ask{Principal: "key:billing", Domain: "acme.pii", Operation: Decrypt, Purpose: "invoice", Fields: []string{"email", "ssn9"}, Views: []string{"last4"}}
	e := p.Explain(&ask)
	if !e.Allowed || !slices.Equal(e.Fields["email"], []int{0}) || e.Fields["ssn9"] != nil || !slices.Equal(e.Views["last4"], []int{0}) ||
		e.Rules[1].Mismatch != "principals" {
		t.Errorf("%+v", e)
	}
	for what, change := range map[string]func(a *Ask){
		"domains":    func(a *Ask) { a.Domain = "x" },
		"operations": func(a *Ask) { a.Operation = Audit },
		"purposes":   func(a *Ask) { a.Purpose = "" },
		"classes":    func(a *Ask) { a.Class = "none" },
		"tenants":    func(a *Ask) { a.Class, a.Operation, a.Audience = "ssn", Tokenize, "psp" },
		"audiences":  func(a *Ask) { a.Class, a.Operation, a.Tenant = "ssn", Tokenize, "acme" },
	} {
		a := ask
		change(&a)
		if e := p.Explain(&a); e.Allowed || e.Rules[0].Mismatch != what {
			t.Errorf("%s: %+v", what, e.Rules[0])
		}
	}
	a := Ask{Principal: "key:billing", Class: "ssn", Operation: Audit}
	if e := p.Explain(&a); e.Rules[0].Mismatch != "operations" {
		t.Errorf("%+v", e.Rules[0])
	}
}

// keysOf makes keys of signed notes.
func noteKeys(t testing.TB, names ...string) (signers []note.Signer, verifiers []string) {
	t.Helper()
	for i, name := range names {
		skey, vkey, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)), name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		signers, verifiers = append(signers, s), append(verifiers, vkey)
	}
	return signers, verifiers
}

func TestAPolicyNeedsTheThresholdOfDifferentKeys(t *testing.T) {
	signers, keys := noteKeys(t, "a", "b", "c")
	strangers, _ := noteKeys(t, "x", "y", "z", "stranger")
	text := readFile(t, "policy.yaml")
	trust, err := NewTrust(keys, 2, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(s ...note.Signer) []byte {
		out, err := Sign([]byte(text), s...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	both, err := Sign(sign(signers[0]), signers[2]) // one after the other
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		signed []byte
		want   error
	}{
		"two":                  {sign(signers[0], signers[1]), nil},
		"two, later":           {both, nil},
		"all and a stranger":   {sign(signers[0], signers[1], signers[2], strangers[3]), nil},
		"one":                  {sign(signers[0]), ErrSignatures},
		"one and a stranger":   {sign(signers[0], strangers[3]), ErrSignatures},
		"strangers":            {sign(strangers[3]), ErrSignatures},
		"none":                 {[]byte(text), ErrSignatures},
		"a changed byte":       {bytes.Replace(both, []byte("per_second: 50"), []byte("per_second: 51"), 1), ErrSignatures},
		"a byte more":          {append([]byte("\n"), both...), ErrSignatures},
		"one signature, twice": {append(bytes.Clone(sign(signers[0])), sign(signers[0])[len(text)+1:]...), ErrSignatures},
		"too long":             {make([]byte, MaxText+1), ErrSignatures},
	} {
		if p, err := trust.Open(c.signed, nil, testTime); !errors.Is(err, c.want) || (p == nil) != (c.want != nil) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range both {
		both[i] ^= 1
		if _, err := trust.Open(both, nil, testTime); err == nil {
			t.Fatalf("byte %d does not count", i)
		}
		both[i] ^= 1
	}
	for what, c := range map[string]struct {
		keys      []string
		threshold int
	}{
		"no keys": {nil, 0}, "threshold 0": {keys, 0}, "too high": {keys, 4}, "malformed": {[]string{"x"}, 1},
		"a key twice": {[]string{keys[0], keys[0]}, 1},
		"one key under two names": {func() []string {
			_, same := noteKeys(t, "other") // the first key again
			return []string{keys[0], same[0]}
		}(), 2},
		"a weak key": {func() []string {
			weak := make([]byte, 32)
			weak[0] = 1
			k, err := note.NewEd25519VerifierKey("w", ed25519.PublicKey(weak))
			if err != nil {
				t.Fatal(err)
			}
			return []string{k}
		}(), 1},
	} {
		if _, err := NewTrust(c.keys, c.threshold, 0, 0); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Sign([]byte(text)); !errors.Is(err, ErrKeys) {
		t.Errorf("signed by nobody: %v", err)
	}
	if _, err := Sign([]byte("version: 1\n"), signers[0]); err == nil {
		t.Error("a policy that cannot be read was signed")
	}
}

func TestAPolicyGivesWayOnlyToALaterOne(t *testing.T) {
	signers, keys := noteKeys(t, "a")
	trust, err := NewTrust(keys, 1, 5, 60*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	text := readFile(t, "policy.yaml")
	signed := func(version int, change string) []byte {
		out, err := Sign([]byte(strings.Replace(text, "version: 7", fmt.Sprintf("version: %d", version), 1)+change), signers[0])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	held, err := trust.Open(signed(7, ""), nil, testTime)
	if err != nil || held.Version() != 7 || held.Digest() == [32]byte{} {
		t.Fatal(err)
	}
	if p, err := trust.Open(signed(7, ""), held, testTime); err != nil || p != held {
		t.Errorf("the same text: %v", err)
	}
	if p, err := trust.Open(signed(8, ""), held, testTime); err != nil || p == held || p.Version() != 8 {
		t.Errorf("a later one: %v", err)
	}
	for what, s := range map[string][]byte{
		"the same version, another text": signed(7, "# x\n"), "an older one": signed(6, ""), "below the least": signed(4, ""),
	} {
		if _, err := trust.Open(s, held, testTime); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := trust.Open(signed(4, ""), nil, testTime); !errors.Is(err, ErrVersion) {
		t.Errorf("below the least, at first: %v", err)
	}
	issued := held.Document().Issued
	for at, want := range map[time.Time]error{
		issued: nil, issued.Add(-MaxFuture): nil, issued.Add(-MaxFuture - 1): ErrTime,
		issued.Add(60 * 24 * time.Hour): nil, issued.Add(60*24*time.Hour + 1): ErrTime, held.Document().NotAfter: ErrTime,
	} {
		if err := held.Valid(at); !errors.Is(err, want) {
			t.Errorf("at %v: %v, want %v", at, err, want)
		}
		if _, err := trust.Open(signed(7, ""), nil, at); !errors.Is(err, want) {
			t.Errorf("opened at %v: %v, want %v", at, err, want)
		}
	}
	open, err := NewTrust(keys, 1, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := open.Open(signed(7, ""), nil, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Valid(held.Document().NotAfter.Add(-1)); err != nil {
		t.Errorf("without an age: %v", err)
	}
	if err := p.Valid(held.Document().NotAfter); !errors.Is(err, ErrTime) {
		t.Error("an ended policy is valid")
	}
}

func TestRatesAreTheStrictestOfAPrincipalsRules(t *testing.T) {
	p := parsed(t, smallest+`callers: {keys: [{id: a, ed25519: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}]}
rules:
  - {principals: ["sig:a"], operations: [decrypt], decrypt_rate: {per_second: 5, burst: 9}}
  - {principals: ["sig:*"], operations: [reseal], decrypt_rate: {per_second: 5, burst: 7, per_day: 100}}
  - {principals: ["*"], operations: [decrypt], decrypt_rate: {per_day: 50}}
  - {principals: ["key:*"], operations: [decrypt], decrypt_rate: {per_second: 1}}
  - {principals: ["sig:*", "key:*"], operations: [decrypt], decrypt_rate: {per_second: 8, burst: 1, per_day: 60}}
  - {principals: ["oidc:x"], operations: [decrypt]}
`)
	for name, want := range map[string]Rate{
		"sig:a": {5, 7, 50}, "sig:b": {5, 7, 50}, "oidc:x": {0, 0, 50}, "key:z": {1, 0, 50},
	} {
		if got := p.Principal(name).Rate; got == nil || *got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestVaultsAreCountedByPrincipal(t *testing.T) {
	l := NewLimiter(100)
	now := testTime
	a := &Principal{Name: "key:a", Rate: &Rate{PerSecond: 2, Burst: 3, PerDay: 10}}
	b := &Principal{Name: "key:b", Rate: a.Rate}
	take := func(pr *Principal, n int, want time.Duration) {
		t.Helper()
		if got := l.Take(pr, n, now); got != want {
			t.Errorf("%d of %s wait %v, want %v", n, pr.Name, got, want)
		}
	}
	take(a, 4, Never) // more than come at once
	take(a, 3, 0)
	take(a, 1, 500*time.Millisecond)
	take(b, 2, 0)
	take(a, 0, 0)
	now = now.Add(500 * time.Millisecond)
	take(a, 1, 0)
	take(a, 1, 500*time.Millisecond)
	now = now.Add(2 * time.Second)
	take(a, 3, 0)
	now = now.Add(2 * time.Second)
	take(a, 3, 0) // ten of the day
	now = now.Add(2 * time.Second)
	if wait := l.Take(a, 1, now); wait < 2*time.Hour || wait > 3*time.Hour { // a tenth of a day, less what passed
		t.Errorf("the eleventh waits %v", wait)
	}
	now = now.Add(24 * time.Hour)
	take(a, 3, 0)
	take(&Principal{Name: "key:c"}, 1_000_000, 0) // no rate
	if n := testing.AllocsPerRun(100, func() { l.Take(a, 1, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestALimiterIsBounded(t *testing.T) {
	l := NewLimiter(100)
	r := &Rate{PerSecond: 1}
	for i := range 1000 {
		l.Take(&Principal{Name: fmt.Sprint(i), Rate: r}, 1, testTime)
		if len(l.cells) > 100 {
			t.Fatalf("%d principals", len(l.cells))
		}
	}
	busy := &Principal{Name: "busy", Rate: &Rate{PerSecond: 0.001}}
	l = NewLimiter(100)
	l.Take(busy, 1, testTime)
	for i := range 98 {
		l.Take(&Principal{Name: fmt.Sprint(i), Rate: r}, 1, testTime)
	}
	later := testTime.Add(2 * time.Second)
	l.Take(&Principal{Name: "new", Rate: r}, 1, later)
	l.Take(&Principal{Name: "newer", Rate: r}, 1, later)
	if l.Take(busy, 1, later) == 0 {
		t.Error("who is over the rate was forgotten before those who are not")
	}
}

func TestDeniedVaultsAreThoseOfTheListThatThePolicyNames(t *testing.T) {
	ids := []string{"v_1", "v_2", "v_3", "v_2"}
	file, err := DenyList(ids)
	if err != nil || len(file) != 3*deniedSize {
		t.Fatal(err, len(file))
	}
	with := func(file []byte) *Policy {
		d := *sample(t).Document()
		d.DenyVaults, d.HasDenied = sha256Of(file), true
		p, err := Compile(&d)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	d, err := with(file).Denied(file)
	if err != nil || d.Len() != 3 {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"v_1": true, "v_2": true, "v_3": true, "v_4": false, "": false} {
		if d.Has([]byte(id)) != want {
			t.Errorf("%s: %v", id, !want)
		}
	}
	var none *Denied
	empty, err := with(nil).Denied(nil)
	if err != nil || empty.Has([]byte("v_1")) || none.Has([]byte("v_1")) {
		t.Error(err)
	}
	swapped := slices.Concat(file[deniedSize:2*deniedSize], file[:deniedSize], file[2*deniedSize:])
	twice := slices.Concat(file[:deniedSize], file)
	for what, f := range map[string][]byte{"swapped": swapped, "twice": twice, "cut": file[1:], "too many": make([]byte, deniedSize*(MaxDenied+1))} {
		if _, err := with(f).Denied(f); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := with(file).Denied(file[deniedSize:]); !errors.Is(err, ErrDenied) {
		t.Errorf("another list: %v", err)
	}
	if _, err := parsed(t, smallest).Denied(nil); !errors.Is(err, ErrDenied) {
		t.Errorf("a policy without a list: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { d.Has([]byte("v_1")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	many := make([]string, MaxDenied+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	if _, err := DenyList(many); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if f, err := DenyList(many[1:]); err != nil {
		t.Error(err)
	} else if d, err := with(f).Denied(f); err != nil || !d.Has([]byte("77")) || d.Has([]byte("0")) {
		t.Error(err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(smallest)
	b, err := os.ReadFile("testdata/policy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add(smallest + "rules: [{principals: ['*'], operations: [decrypt], domains: ['a*', a], raw: ['*']}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ParseCases(text)
		d, err := ParseDocument(text)
		if err != nil {
			return
		}
		p, err := Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []Ask{{Principal: "key:a", Domain: "a", Fields: []string{"f"}, Views: slices.Sorted(maps.Keys(d.Views))}} {
			g := p.Decide(p.Principal(a.Principal), a.Domain, a.Operation, a.Purpose)
			if e := p.Explain(&a); e.Allowed != g.Allowed() || (len(e.Fields["f"]) > 0) != g.Raw("f") {
				t.Fatal("decided and explained otherwise")
			}
		}
	})
}
