package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Case is a question with the answer that somebody expects.
type Case struct {
	Name string
	Ask  Ask
	// Allow says that a rule applies, and that all which is asked for is granted. Without it either no rule applies or,
	// where fields, views or raw are asked for, none of them is granted.
	Allow bool
}

// ParseCases reads a file of cases, in the subset of YAML of a policy:
//
//	cases:
//	  - {name: billing mails, principal: "key:billing", domain: acme.pii, operation: decrypt, purpose: invoice,
//	     fields: [email], views: [last4], expect: allow}
//	  - {name: but sees no number, principal: "key:billing", domain: acme.pii, operation: decrypt, purpose: invoice,
//	     fields: [ssn9], expect: refuse}
//
// Tokens have class, tenant, audience and raw in place of domain and fields. Error: *[Error].
func ParseCases(text string) ([]Case, error) {
	root, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	p := &parsing{reader: r}
	var all []Case
	r.members(root, "", map[string]member{"cases": func(n ast.Node, path string) {
		r.list(n, path, 100_000, func(n ast.Node, path string) { all = append(all, p.oneCase(n, path)) })
	}}, "cases")
	if r.err != nil {
		return nil, r.err
	}
	return all, nil
}

func (p *parsing) oneCase(n ast.Node, path string) (c Case) {
	text := func(to *string) member {
		return func(n ast.Node, path string) { *to = p.text(n, path, MaxName) }
	}
	list := func(to *[]string) member {
		return func(n ast.Node, path string) {
			*to = p.texts(n, path, "must be text", func(string) bool { return true })
		}
	}
	p.members(n, path, map[string]member{
		"name": text(&c.Name), "principal": text(&c.Ask.Principal), "domain": text(&c.Ask.Domain),
		"class": text(&c.Ask.Class), "tenant": text(&c.Ask.Tenant), "audience": text(&c.Ask.Audience),
		"purpose": text(&c.Ask.Purpose), "fields": list(&c.Ask.Fields), "views": list(&c.Ask.Views),
		"raw": func(n ast.Node, path string) { c.Ask.Raw = p.flag(n, path) },
		"operation": func(n ast.Node, path string) {
			op, ok := OperationNamed(p.text(n, path, MaxName))
			if c.Ask.Operation = op; !ok {
				p.fail(n, path, "must be an operation")
			}
		},
		"expect": func(n ast.Node, path string) { c.Allow = p.oneOf(n, path, "allow", "refuse") == "allow" },
	}, "name", "principal", "operation", "expect")
	if (c.Ask.Domain == "") == (c.Ask.Class == "") {
		p.fail(n, path, "must have a domain or a class")
	}
	ofTokens := c.Ask.Raw || c.Ask.Tenant != "" || c.Ask.Audience != ""
	if c.Ask.Class == "" && ofTokens || c.Ask.Class != "" && len(c.Ask.Fields) > 0 {
		p.fail(n, path, "raw, tenant and audience are of a class, fields of a domain")
	}
	return c
}

// Test asks the compiled policy and returns what is not as the case expects, one finding a line, and nothing if all is.
func (p *Policy) Test(c *Case) (findings []string) {
	pr := p.Principal(c.Ask.Principal)
	granted := map[string]bool{}
	var allowed bool
	if c.Ask.Class != "" {
		g := p.DecideToken(pr, p.Class(c.Ask.Class), c.Ask.Operation, c.Ask.Tenant, c.Ask.Audience, c.Ask.Purpose)
		allowed = g.Allowed()
		if c.Ask.Raw {
			granted["raw"] = g.Raw()
		}
		for _, v := range c.Ask.Views {
			_, granted["view "+v] = g.View(v)
		}
	} else {
		g := p.Decide(pr, c.Ask.Domain, c.Ask.Operation, c.Ask.Purpose)
		allowed = g.Allowed()
		for _, f := range c.Ask.Fields {
			granted["field "+f] = g.Raw(f)
		}
		for _, v := range c.Ask.Views {
			_, granted["view "+v] = g.View(v)
		}
	}
	if allowed != c.Allow && (c.Allow || len(granted) == 0) {
		findings = append(findings, fmt.Sprintf("%s: %s", c.Ask.Operation, verdict(allowed)))
	}
	for _, what := range slices.Sorted(maps.Keys(granted)) {
		if granted[what] != c.Allow {
			findings = append(findings, what+": "+verdict(granted[what]))
		}
	}
	return findings
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed, and should be refused"
	}
	return "refused, and should be allowed"
}
