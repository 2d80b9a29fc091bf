package policy

import "slices"

// Ask is a question to a policy: of vaults of a domain or, with a class, of tokens.
type Ask struct {
	Principal, Domain, Class, Tenant, Audience, Purpose string
	Operation                                           Operation
	// Fields are asked for raw, Views by name. With a class, Raw asks for the value itself.
	Fields, Views []string
	Raw           bool
}

// Explanation says which rule allows or refuses what. It is for the caller itself, or for an administrator.
type Explanation struct {
	// Allowed reports whether a rule applies.
	Allowed bool
	// Rules has an entry for each rule, in their order.
	Rules []RuleVerdict
	// Fields, Views and Raw have the rules that grant each of what was asked for, by number; none where it is refused.
	Fields, Views map[string][]int
	Raw           []int
}

// RuleVerdict says whether a rule applies.
type RuleVerdict struct {
	Rule    int
	Applies bool
	// Mismatch is the first of principals, domains, classes, operations, tenants, audiences and purposes that does not
	// match.
	Mismatch string
}

// Explain answers a question rule by rule. It reads the document, not what was compiled from it.
func (p *Policy) Explain(a *Ask) *Explanation {
	e := &Explanation{Fields: map[string][]int{}, Views: map[string][]int{}}
	for i := range p.doc.Rules {
		r := &p.doc.Rules[i]
		mismatch := r.mismatch(a)
		e.Rules = append(e.Rules, RuleVerdict{Rule: i, Applies: mismatch == "", Mismatch: mismatch})
		if mismatch != "" {
			continue
		}
		e.Allowed = true
		views := r.Views
		if a.Class != "" {
			c := r.Classes[a.Class]
			views = c.Views
			if c.Raw && a.Raw {
				e.Raw = append(e.Raw, i)
			}
		} else {
			for _, f := range a.Fields {
				if anyMatches(r.Raw, f) {
					e.Fields[f] = append(e.Fields[f], i)
				}
			}
		}
		for _, v := range a.Views {
			if slices.Contains(views, v) {
				e.Views[v] = append(e.Views[v], i)
			}
		}
	}
	return e
}

// mismatch returns what of the rule does not match, and nothing if it applies.
func (r *Rule) mismatch(a *Ask) string {
	if !anyMatches(r.Principals, a.Principal) {
		return "principals"
	}
	if a.Class == "" {
		if !anyMatches(r.Domains, a.Domain) {
			return "domains"
		}
		if !slices.Contains(r.Operations, a.Operation) {
			return "operations"
		}
	} else {
		c := r.Classes[a.Class]
		if c == nil {
			return "classes"
		}
		if !slices.Contains(c.Operations, a.Operation) {
			return "operations"
		}
		if !anyMatches(names(r.Tenants), a.Tenant) {
			return "tenants"
		}
		if !anyMatches(names(r.Audiences), a.Audience) {
			return "audiences"
		}
	}
	if !anyMatches(r.purposes(), a.Purpose) {
		return "purposes"
	}
	return ""
}
