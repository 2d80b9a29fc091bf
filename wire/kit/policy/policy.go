package policy

import (
	"crypto/sha256"
	"time"
)

// Policy is a compiled document. It does not change; several goroutines may use it. Its decisions allocate nothing, and
// cost the same whatever the number of rules.
type Policy struct {
	doc    *Document
	text   string
	maxAge time.Duration

	principals, domains, purposes, tenants, audiences, raw *index
	operations                                             [operations]set
	views                                                  map[string]*set
	classes                                                map[string]*Tokens

	keys    map[string]*apiKey
	callers map[string]*callerKey
	issuers map[string]*Issuer
}

type apiKey struct {
	*APIKey
	principal *Principal
}

type callerKey struct {
	*CallerKey
	principal *Principal
}

// Tokens is a class of tokens, as its rules see it.
type Tokens struct {
	Class      *Class
	operations [operations]set
	raw        set
	views      map[string]*set
}

// Principal is somebody whom the policy knows, or a subject of one of its issuers. It belongs to its policy.
type Principal struct {
	// Name is key:ID, sig:ID, or oidc:ISSUER|SUBJECT.
	Name string
	// Rate is the strictest of all rules for the principal, by each bound; nil without any.
	Rate *Rate

	of    *Policy
	rules set
}

// Compile compiles a document that [ParseDocument] made, for those who show, test and explain a policy. Who judges by
// one takes it from [Trust.Open]. Error: *[Error].
func Compile(d *Document) (*Policy, error) { return compile(d) }

func compile(d *Document) (*Policy, error) {
	if len(d.Rules) > MaxRules {
		return nil, &Error{Path: "rules", Problem: "more than 1024"}
	}
	p := &Policy{
		doc: d, views: map[string]*set{}, classes: map[string]*Tokens{}, keys: map[string]*apiKey{},
		callers: map[string]*callerKey{}, issuers: map[string]*Issuer{},
	}
	for name := range d.Views {
		p.views[name] = &set{}
	}
	for name, c := range d.Classes {
		t := &Tokens{Class: c, views: map[string]*set{}}
		for view := range c.Views {
			t.views[view] = &set{}
		}
		p.classes[name] = t
	}
	principals, domains, purposes, tenants, audiences, raw :=
		newBuilder(), newBuilder(), newBuilder(), newBuilder(), newBuilder(), newBuilder()
	for i := range d.Rules {
		r := &d.Rules[i]
		principals.add(i, r.Principals...)
		domains.add(i, r.Domains...)
		raw.add(i, r.Raw...)
		purposes.add(i, r.purposes()...)
		tenants.add(i, names(r.Tenants)...)
		audiences.add(i, names(r.Audiences)...)
		for _, op := range r.Operations {
			p.operations[op].add(i)
		}
		for _, view := range r.Views {
			p.views[view].add(i)
		}
		for name, c := range r.Classes {
			p.classes[name].add(i, c)
		}
	}
	p.principals, p.domains, p.purposes = principals.index(), domains.index(), purposes.index()
	p.tenants, p.audiences, p.raw = tenants.index(), audiences.index(), raw.index()
	for i := range d.APIKeys {
		k := &d.APIKeys[i]
		p.keys[k.ID] = &apiKey{k, p.Principal("key:" + k.ID)}
	}
	for i := range d.Keys {
		k := &d.Keys[i]
		p.callers[k.ID] = &callerKey{k, p.Principal("sig:" + k.ID)}
	}
	for i := range d.Issuers {
		p.issuers[d.Issuers[i].Issuer] = &d.Issuers[i]
	}
	return p, nil
}

// purposes are the rule's, or every one.
func (r *Rule) purposes() []string {
	if len(r.Purposes) == 0 {
		return []string{"*"}
	}
	return r.Purposes
}

// names are patterns of tenants or audiences. A rule without any is for tokens that have none, whose name is empty.
func names(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{""}
	}
	return patterns
}

func (t *Tokens) add(rule int, c *ClassRule) {
	for _, op := range c.Operations {
		t.operations[op].add(rule)
	}
	if c.Raw {
		t.raw.add(rule)
	}
	for _, view := range c.Views {
		t.views[view].add(rule)
	}
}

// Version is the document's.
func (p *Policy) Version() uint32 { return p.doc.Version }

// Document returns what the policy was compiled from.
func (p *Policy) Document() *Document { return p.doc }

// Principal returns a principal by name. It allocates: keep it with what authenticated its caller.
func (p *Policy) Principal(name string) *Principal {
	pr := &Principal{Name: name, of: p, rules: *find(p.principals, name)}
	for i := range p.doc.Rules {
		if r := &p.doc.Rules[i]; r.Rate != nil && pr.rules.has(i) {
			pr.Rate = r.Rate.strictest(pr.Rate)
		}
	}
	return pr
}

// Grant is what a caller may do with vaults of a domain, for one operation and purpose. It belongs on the stack.
type Grant struct {
	p     *Policy
	rules set
}

// Decide returns what the rules that apply allow together. pr is nil for nobody, who may do nothing.
func (p *Policy) Decide(pr *Principal, domain string, op Operation, purpose string) (g Grant) {
	if pr == nil || pr.of != p || op >= operations {
		return Grant{p: p}
	}
	g.p = p
	d, o, u := find(p.domains, domain), &p.operations[op], find(p.purposes, purpose)
	for i := range g.rules {
		g.rules[i] = pr.rules[i] & d[i] & o[i] & u[i]
	}
	return g
}

// Allowed reports whether any rule applies. It does not mean that a field may be opened.
func (g *Grant) Allowed() bool { return g.rules != noRules }

// Raw reports whether the field may leave as it is.
func (g *Grant) Raw(field string) bool { return g.rules.meets(find(g.p.raw, field)) }

// RawBytes is Raw.
func (g *Grant) RawBytes(field []byte) bool { return g.rules.meets(find(g.p.raw, field)) }

// View returns the view of a name if its result may leave. A field that is not granted raw is opened only if a granted
// view that is asked for takes it.
func (g *Grant) View(name string) (*View, bool) {
	rules, ok := g.p.views[name]
	if !ok || !g.rules.meets(rules) {
		return nil, false
	}
	return g.p.doc.Views[name], true
}

// TokenGrant is what a caller may do with tokens of a class, tenant and audience, for one operation and purpose.
type TokenGrant struct {
	t     *Tokens
	rules set
}

// Class returns a class of tokens by name, and nil without it.
func (p *Policy) Class(name string) *Tokens { return p.classes[name] }

// DecideToken is Decide for tokens. tenant and audience are empty for tokens that have none.
func (p *Policy) DecideToken(
	pr *Principal, t *Tokens, op Operation, tenant, audience, purpose string,
) (g TokenGrant) {
	if pr == nil || pr.of != p || t == nil || op >= operations {
		return TokenGrant{t: t}
	}
	g.t = t
	o, n, a, u := &t.operations[op], find(p.tenants, tenant), find(p.audiences, audience), find(p.purposes, purpose)
	for i := range g.rules {
		g.rules[i] = pr.rules[i] & o[i] & n[i] & a[i] & u[i]
	}
	return g
}

// Allowed reports whether any rule applies.
func (g *TokenGrant) Allowed() bool { return g.rules != noRules }

// Raw reports whether the value may leave as it is.
func (g *TokenGrant) Raw() bool { return g.Allowed() && g.rules.meets(&g.t.raw) }

// View returns the expression of a view of the class if its result may leave.
func (g *TokenGrant) View(name string) (string, bool) {
	if g.t == nil {
		return "", false
	}
	rules, ok := g.t.views[name]
	if !ok || !g.rules.meets(rules) {
		return "", false
	}
	return g.t.Class.Views[name], true
}

// Digest is the SHA-256 of the policy's text, without signatures.
func (p *Policy) Digest() [32]byte { return sha256.Sum256([]byte(p.text)) }

// anyMatches is for the few patterns of one caller.
func anyMatches(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}
