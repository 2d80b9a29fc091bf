package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"redoubt/wire/kit/policy"
	"redoubt/wire/kit/program"
)

type policyShowCmd struct {
	File string `arg:"" help:"The policy, signed or not." type:"path"`
}

// shownPolicy is a policy as policy show prints it: no hashes and keys.
type shownPolicy struct {
	Version   uint32        `json:"version"`
	Issued    time.Time     `json:"issued"`
	NotAfter  time.Time     `json:"not_after"`
	Signers   []string      `json:"signers_unverified"`
	Callers   []shownCaller `json:"callers"`
	Views     []shownView   `json:"views"`
	Classes   []string      `json:"classes"`
	Rules     []shownRule   `json:"rules"`
	HasDenied bool          `json:"denies_vaults"`
}

type shownCaller struct {
	Principal string   `json:"principal"`
	Domains   []string `json:"domains,omitempty"`
}

type shownView struct {
	Name string   `json:"name"`
	From []string `json:"from"`
	CEL  string   `json:"cel"`
}

type shownRule struct {
	Number     int                 `json:"number"`
	Principals []string            `json:"principals"`
	Domains    []string            `json:"domains,omitempty"`
	Operations []string            `json:"operations,omitempty"`
	Raw        []string            `json:"raw,omitempty"`
	Views      []string            `json:"views,omitempty"`
	Classes    map[string][]string `json:"classes,omitempty"`
	Tenants    []string            `json:"tenants,omitempty"`
	Audiences  []string            `json:"audiences,omitempty"`
	Purposes   []string            `json:"purposes,omitempty"`
	PerSecond  float64             `json:"per_second,omitempty"`
	Burst      int                 `json:"burst,omitempty"`
	PerDay     int                 `json:"per_day,omitempty"`
}

// Run shows.
func (cmd *policyShowCmd) Run(e *env) error {
	p, signers, err := loadPolicy(cmd.File)
	if err != nil {
		return err
	}
	s := shown(p.Document(), signers)
	return e.print(s.text(), s)
}

func shown(d *policy.Document, signers []string) *shownPolicy {
	s := &shownPolicy{
		Version: d.Version, Issued: d.Issued, NotAfter: d.NotAfter, Signers: signers, HasDenied: d.HasDenied,
		Classes: slices.Sorted(maps.Keys(d.Classes)),
	}
	for _, k := range d.APIKeys {
		s.Callers = append(s.Callers, shownCaller{"key:" + k.ID, k.Domains})
	}
	for _, k := range d.Keys {
		s.Callers = append(s.Callers, shownCaller{"sig:" + k.ID, nil})
	}
	for _, i := range d.Issuers {
		s.Callers = append(s.Callers, shownCaller{"oidc:" + i.Issuer + "|*", i.Domains})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Views)) {
		s.Views = append(s.Views, shownView{name, d.Views[name].From, d.Views[name].CEL})
	}
	for i := range d.Rules {
		s.Rules = append(s.Rules, shownRuleOf(i, &d.Rules[i]))
	}
	return s
}

func operationsOf(list []policy.Operation) (out []string) {
	for _, op := range list {
		out = append(out, op.String())
	}
	return out
}

func shownRuleOf(i int, r *policy.Rule) shownRule {
	out := shownRule{
		Number: i, Principals: r.Principals, Domains: r.Domains, Operations: operationsOf(r.Operations), Raw: r.Raw,
		Views: r.Views, Tenants: r.Tenants, Audiences: r.Audiences, Purposes: r.Purposes,
	}
	for name, c := range r.Classes {
		if out.Classes == nil {
			out.Classes = map[string][]string{}
		}
		may := operationsOf(c.Operations)
		if c.Raw {
			may = append(may, "raw")
		}
		for _, v := range c.Views {
			may = append(may, "view "+v)
		}
		out.Classes[name] = may
	}
	if r.Rate != nil {
		out.PerSecond, out.Burst, out.PerDay = r.Rate.PerSecond, r.Rate.Burst, r.Rate.PerDay
	}
	return out
}

func (s *shownPolicy) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d, issued %s, ends %s", s.Version, s.Issued.Format(time.RFC3339),
		s.NotAfter.Format(time.RFC3339))
	if len(s.Signers) > 0 {
		fmt.Fprintf(&b, ", signatures (not checked) of %s", strings.Join(s.Signers, ", "))
	}
	for _, c := range s.Callers {
		fmt.Fprintf(&b, "\ncaller %s%s", c.Principal, listed(" in ", c.Domains))
	}
	for _, v := range s.Views {
		fmt.Fprintf(&b, "\nview %s of %s: %s", v.Name, strings.Join(v.From, ", "), v.CEL)
	}
	for i := range s.Rules {
		r := &s.Rules[i]
		fmt.Fprintf(&b, "\nrule %d: %s", r.Number, strings.Join(r.Principals, ", "))
		if len(r.Operations) > 0 {
			fmt.Fprintf(&b, "; %s%s%s%s", strings.Join(r.Operations, ", "), listed(" in ", r.Domains), listed("; raw ", r.Raw),
				listed("; views ", r.Views))
		}
		for _, name := range slices.Sorted(maps.Keys(r.Classes)) {
			fmt.Fprintf(&b, "; tokens %s: %s", name, strings.Join(r.Classes[name], ", "))
		}
		b.WriteString(listed("; tenants ", r.Tenants) + listed("; audiences ", r.Audiences) + listed("; for ", r.Purposes))
		if r.PerSecond != 0 {
			fmt.Fprintf(&b, "; %v vaults a second", r.PerSecond)
		}
		if r.PerDay != 0 {
			fmt.Fprintf(&b, "; %d vaults a day", r.PerDay)
		}
	}
	if s.HasDenied {
		b.WriteString("\na list of denied vaults")
	}
	return b.String()
}

func listed(before string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return before + strings.Join(list, ", ")
}

type policyExplainCmd struct {
	File      string   `arg:"" help:"The policy, signed or not." type:"path"`
	Principal string   `help:"Who asks: key:ID, sig:ID or oidc:ISSUER|SUBJECT." required:"" placeholder:"NAME"`
	Operation string   `help:"What for, as decrypt." required:"" placeholder:"OPERATION"`
	Domain    string   `help:"Domain of the vaults." placeholder:"ID"`
	Class     string   `help:"Class of the tokens, in place of a domain." placeholder:"NAME"`
	Tenant    string   `help:"Tenant of the tokens." placeholder:"ID"`
	Audience  string   `help:"Audience of the tokens." placeholder:"ID"`
	Purpose   string   `help:"Purpose that the caller states." placeholder:"TEXT"`
	Fields    []string `help:"Fields that are asked for raw." placeholder:"FIELD"`
	Views     []string `help:"Views that are asked for." placeholder:"VIEW"`
	Raw       bool     `help:"The tokens' values are asked for raw."`
}

// Run explains.
func (cmd *policyExplainCmd) Run(e *env) error {
	op, ok := policy.OperationNamed(cmd.Operation)
	if !ok {
		return program.Mistake("--operation is none that policies know")
	}
	if (cmd.Domain == "") == (cmd.Class == "") {
		return program.Mistake("give --domain or --class")
	}
	p, _, err := loadPolicy(cmd.File)
	if err != nil {
		return err
	}
	if cmd.Class != "" && p.Class(cmd.Class) == nil {
		return errors.New("policy: it has no such class")
	}
	x := p.Explain(&policy.Ask{
		Principal: cmd.Principal, Domain: cmd.Domain, Class: cmd.Class, Tenant: cmd.Tenant, Audience: cmd.Audience,
		Purpose: cmd.Purpose, Operation: op, Fields: cmd.Fields, Views: cmd.Views, Raw: cmd.Raw,
	})
	return e.print(cmd.text(x), cmd.value(x))
}

func (cmd *policyExplainCmd) text(x *policy.Explanation) string {
	var lines []string
	say := func(what string, rules []int) {
		text := "refused"
		if len(rules) > 0 {
			text = "allowed by rule " + strings.Trim(strings.ReplaceAll(fmt.Sprint(rules), " ", ", "), "[]")
		}
		lines = append(lines, what+": "+text)
	}
	var applying []int
	for _, r := range x.Rules {
		if r.Applies {
			applying = append(applying, r.Rule)
		}
	}
	say(cmd.Operation, applying)
	for _, f := range cmd.Fields {
		say("field "+f, x.Fields[f])
	}
	if cmd.Class != "" && cmd.Raw {
		say("raw", x.Raw)
	}
	for _, v := range cmd.Views {
		say("view "+v, x.Views[v])
	}
	for _, r := range x.Rules {
		if !r.Applies {
			lines = append(lines, fmt.Sprintf("rule %d does not apply: %s", r.Rule, r.Mismatch))
		}
	}
	return strings.Join(lines, "\n")
}

func (cmd *policyExplainCmd) value(x *policy.Explanation) any {
	type rule struct {
		Rule     int    `json:"rule"`
		Applies  bool   `json:"applies"`
		Mismatch string `json:"mismatch,omitempty"`
	}
	rules := []rule{}
	for _, r := range x.Rules {
		rules = append(rules, rule(r))
	}
	return map[string]any{"allowed": x.Allowed, "fields": x.Fields, "views": x.Views, "raw": x.Raw, "rules": rules}
}
