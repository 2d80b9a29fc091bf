package auth

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"redoubt/wire/kit/yamlfile"
)

// Rule allows some principals something.
type Rule struct {
	// Principals are callers' names as in audit entries, or "group:NAME", exact or with a trailing "*". At least one.
	Principals []string `yaml:"principals"`
	Grant      `yaml:",inline"`
	// DecryptRate limits each matching principal by itself; the first matching rule with one counts.
	DecryptRate *Rate `yaml:"decrypt_rate"`
}

// Policy is a list of rules; what none of them allows is refused. A nil Policy allows what a principal's own scope
// does, and nothing to a principal without one.
type Policy struct {
	// Rules allow something each; what a caller may do is what all the rules that match it allow together.
	Rules []Rule `yaml:"rules"`
	// DecryptRate limits each principal for which no rule has a rate.
	DecryptRate *Rate `yaml:"decrypt_rate"`
}

// ParsePolicy reads a policy from YAML. Unknown keys are an error.
func ParsePolicy(data []byte) (*Policy, error) {
	var p Policy
	if err := yamlfile.Decode(data, &p); err != nil {
		return nil, fmt.Errorf("auth: policy: %w", err)
	}
	if err := p.DecryptRate.check(); err != nil {
		return nil, err
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if len(r.Principals) == 0 {
			return nil, errors.New("auth: policy: a rule without principals")
		}
		if err := errors.Join(r.check(), r.DecryptRate.check()); err != nil {
			return nil, fmt.Errorf("auth: policy: rule %d: %w", i+1, err)
		}
	}
	return &p, nil
}

// LoadPolicy reads a policy file.
func LoadPolicy(path string) (*Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("auth: policy: %w", err)
	}
	return ParsePolicy(data)
}

// Permit returns nil if pr may do op on all the fields, and otherwise [ErrForbidden]. fields must be normalized names
// of the schema or [AllFields].
func (p *Policy) Permit(pr *Principal, op Operation, fields []string) error {
	if pr.Operator {
		return nil
	}
	if pr.Scope != nil && !pr.Scope.permits(op, fields) {
		return ErrForbidden
	}
	if p == nil {
		if pr.Scope == nil {
			return ErrForbidden
		}
		return nil
	}
	var granted []*Grant
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.operation(op) && slices.ContainsFunc(r.Principals, pr.matches) {
			granted = append(granted, &r.Grant)
		}
	}
	if len(granted) == 0 {
		return ErrForbidden
	}
	for _, f := range fields {
		if !slices.ContainsFunc(granted, func(g *Grant) bool { return g.field(f) }) {
			return ErrForbidden
		}
	}
	return nil
}

// rate returns the limit of the principal's decrypts, and nil if there is none.
func (p *Policy) rate(pr *Principal) *Rate {
	if pr.Rate != nil || p == nil {
		return pr.Rate
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.DecryptRate != nil && slices.ContainsFunc(r.Principals, pr.matches) {
			return r.DecryptRate
		}
	}
	return p.DecryptRate
}
