package policy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"golang.org/x/mod/sumdb/note"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/envelope"
	"redoubt/wire/kit/jwt"
	"redoubt/wire/kit/sealed"
)

// Bounds of a rate.
const (
	MinRate   = 0.000001
	MaxRate   = 1_000_000
	MaxPerDay = 1_000_000_000
)

// ParseDocument reads a policy's text without its signatures, and checks all that can be checked without a clock. The
// text is UTF-8 without control characters but the line feed, which ends it. Errors: *[Error].
func ParseDocument(text string) (*Document, error) {
	if len(text) > MaxText || !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") ||
		strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\n' }) {
		return nil, &Error{Problem: "must be at most 1,000,000 bytes of UTF-8, in lines that end in a line feed, no tabs"}
	}
	root, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	d, r := &Document{}, &reader{}
	p := &parsing{reader: r, d: d}
	r.members(root, "", map[string]member{
		"version":   func(n ast.Node, path string) { d.Version = uint32(r.whole(n, path, 1, 1<<32-1)) },
		"issued":    func(n ast.Node, path string) { d.Issued = p.time(n, path) },
		"not_after": func(n ast.Node, path string) { d.NotAfter = p.time(n, path) },
		"callers":   p.callers,
		"schemas":   p.schemas,
		"audiences": func(n ast.Node, path string) { d.Audiences = p.ids(n, path) },
		"tenants":   func(n ast.Node, path string) { d.Tenants = p.ids(n, path) },
		"classes":   p.classes,
		"revocations": func(n ast.Node, path string) {
			d.Revocations = &Revocations{}
			r.members(n, path, map[string]member{
				"key":   func(n ast.Node, path string) { d.Revocations.Key = p.noteKey(n, path) },
				"least": func(n ast.Node, path string) { d.Revocations.Least = r.whole(n, path, 0, 1<<62) },
			}, "key", "least")
		},
		"views": p.views,
		"rules": p.rules,
		"deny_vaults": func(n ast.Node, path string) {
			d.DenyVaults, d.HasDenied = [32]byte(p.hash(n, path)), true
		},
	}, "version", "issued", "not_after")
	if r.err == nil {
		p.check(root)
	}
	if r.err != nil {
		return nil, r.err
	}
	return d, nil
}

// parsing fills a document.
type parsing struct {
	*reader
	d *Document
}

func (p *parsing) time(n ast.Node, path string) time.Time {
	t, err := time.Parse(time.RFC3339, p.text(n, path, 64))
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		p.fail(n, path, "must be a time, as 2027-06-01T00:00:00Z")
	}
	return t.UTC()
}

// hash reads a SHA-256 in lower-case hex. It returns 32 bytes also for what is none.
func (p *parsing) hash(n ast.Node, path string) []byte {
	text := p.text(n, path, 64)
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 || strings.ToLower(text) != text {
		p.fail(n, path, "must be a SHA-256: 64 lower-case hex digits")
		return make([]byte, 32)
	}
	return b
}

func (p *parsing) noteKey(n ast.Node, path string) string {
	text := p.text(n, path, MaxName)
	if _, _, err := verifier(text); err != nil {
		p.fail(n, path, "must be a key that verifies signed notes: NAME+HASH+KEY")
	}
	return text
}

func (p *parsing) ids(n ast.Node, path string) []string {
	return p.texts(n, path, "must match [a-z0-9][a-z0-9._-]{0,62}", validID)
}

// validID is about tenants, audiences, schemas, classes and views.
func validID(id string) bool {
	return domain.ValidID(id) && id[0] != '.' && id[0] != '_' && id[0] != '-'
}

func (p *parsing) patterns(n ast.Node, path string) []string {
	return p.texts(n, path, "must be text with at most one *, at its end", validPattern)
}

func (p *parsing) fieldNames(n ast.Node, path string) []string {
	return p.texts(n, path, "must match [a-z][a-z0-9_]*", sealed.ValidName[string])
}

func (p *parsing) callerID(n ast.Node, path string) string {
	id := p.text(n, path, envelope.MaxCaller)
	if !envelope.ValidCaller(id) {
		p.fail(n, path, "must match [A-Za-z0-9._-]{1,64}")
	}
	return id
}

func (p *parsing) callers(n ast.Node, path string) {
	p.members(n, path, map[string]member{
		"api_keys": func(n ast.Node, path string) {
			p.list(n, path, MaxCallers, func(n ast.Node, path string) {
				var k APIKey
				p.members(n, path, map[string]member{
					"id":      func(n ast.Node, path string) { k.ID = p.callerID(n, path) },
					"sha256":  func(n ast.Node, path string) { k.Hash = [32]byte(p.hash(n, path)) },
					"domains": func(n ast.Node, path string) { k.Domains = p.patterns(n, path) },
				}, "id", "sha256", "domains")
				p.d.APIKeys = append(p.d.APIKeys, k)
			})
		},
		"keys": func(n ast.Node, path string) {
			p.list(n, path, MaxCallers, func(n ast.Node, path string) {
				var k CallerKey
				p.members(n, path, map[string]member{
					"id":      func(n ast.Node, path string) { k.ID = p.callerID(n, path) },
					"ed25519": func(n ast.Node, path string) { k.Public = p.ed25519(n, path) },
				}, "id", "ed25519")
				p.d.Keys = append(p.d.Keys, k)
			})
		},
		"oidc": func(n ast.Node, path string) { p.list(n, path, MaxIssuers, p.issuer) },
	})
}

func (p *parsing) ed25519(n ast.Node, path string) (key [32]byte) {
	b, err := base64.StdEncoding.Strict().DecodeString(p.text(n, path, 64))
	if err != nil || len(b) != len(key) || !domain.StrongKey([32]byte(b)) {
		p.fail(n, path, "must be an Ed25519 public key: 32 bytes in base64")
		return key
	}
	return [32]byte(b)
}

func (p *parsing) issuer(n ast.Node, path string) {
	var i Issuer
	p.members(n, path, map[string]member{
		"issuer":   func(n ast.Node, path string) { i.Issuer = p.text(n, path, MaxName/2) },
		"audience": func(n ast.Node, path string) { i.Audience = p.text(n, path, MaxName) },
		"domains":  func(n ast.Node, path string) { i.Domains = p.patterns(n, path) },
		"jwks": func(n ast.Node, path string) {
			text, err := json.Marshal(p.value(n, path))
			if err == nil {
				i.Keys, err = jwt.ParseSet(text)
			}
			if err != nil || i.Keys.Len() == 0 || i.Keys.Len() > maxKeys {
				p.fail(n, path, "must be a set of 1 to 16 keys that may verify signatures")
			}
		},
	}, "issuer", "audience", "jwks")
	if strings.ContainsAny(i.Issuer, "|*") { // the issuer ends at the first bar of a principal's name
		p.fail(n, path, "an issuer has no | and no *")
	}
	p.d.Issuers = append(p.d.Issuers, i)
}

func (p *parsing) schemas(n ast.Node, path string) {
	p.d.Schemas = map[string]map[string]string{}
	p.each(n, path, MaxList, func(name string, n ast.Node, path string) {
		if !validID(name) {
			p.fail(n, path, "a schema's name must match [a-z0-9][a-z0-9._-]{0,62}")
		}
		fields := map[string]string{}
		p.d.Schemas[name] = fields
		p.each(n, join(path, name), MaxList, func(field string, n ast.Node, path string) {
			if !sealed.ValidName(field) {
				p.fail(n, path, "a field's name must match [a-z][a-z0-9_]*")
			}
			fields[field] = p.text(n, path, maxPattern)
			if _, err := regexp.Compile(fields[field]); err != nil {
				p.fail(n, path, "must be a regular expression (RE2)")
			}
		})
	})
}

func (p *parsing) oneOf(n ast.Node, path string, words ...string) string {
	text := p.text(n, path, MaxName)
	if !slices.Contains(words, text) {
		p.fail(n, path, "must be one of "+strings.Join(words, ", "))
	}
	return text
}

var className = regexp.MustCompile(`^[a-z0-9]{2,12}$`)

func (p *parsing) classes(n ast.Node, path string) {
	p.d.Classes = map[string]*Class{}
	p.each(n, path, MaxList, func(name string, n ast.Node, path string) {
		if !className.MatchString(name) {
			p.fail(n, path, "a class's name must match [a-z0-9]{2,12}")
		}
		c := &Class{Name: name, Type: "text", Audience: "none", Bind: "none", Views: map[string]string{}}
		p.d.Classes[name] = c
		p.members(n, join(path, name), map[string]member{
			"kind": func(n ast.Node, path string) {
				c.Kind = p.oneOf(n, path, "pointer", "sealed", "deterministic", "fingerprint", "shaped")
			},
			"domain": func(n ast.Node, path string) {
				c.Domain = p.text(n, path, MaxName)
				if !domain.ValidID(strings.Replace(c.Domain, "{tenant}", "t", 1)) {
					p.fail(n, path, "must be a domain's id, in which {tenant} may stand once")
				}
			},
			"type": func(n ast.Node, path string) {
				c.Type = p.oneOf(n, path, "text", "number", "boolean", "bytes", "null", "json")
			},
			"pattern": func(n ast.Node, path string) {
				c.Pattern = p.text(n, path, maxPattern)
				if _, err := regexp.Compile(c.Pattern); err != nil {
					p.fail(n, path, "must be a regular expression (RE2)")
				}
			},
			"audience": func(n ast.Node, path string) { c.Audience = p.oneOf(n, path, "none", "optional", "required") },
			"bind":     func(n ast.Node, path string) { c.Bind = p.oneOf(n, path, "none", "optional", "required") },
			"views": func(n ast.Node, path string) {
				p.each(n, path, MaxList, func(view string, n ast.Node, path string) {
					if !sealed.ValidName(view) {
						p.fail(n, path, "a view's name must match [a-z][a-z0-9_]*")
					}
					c.Views[view] = p.text(n, path, MaxExpression)
				})
			},
		}, "kind", "domain")
	})
}

func (p *parsing) views(n ast.Node, path string) {
	p.d.Views = map[string]*View{}
	p.each(n, path, MaxList, func(name string, n ast.Node, path string) {
		if !sealed.ValidName(name) {
			p.fail(n, path, "a view's name must match [a-z][a-z0-9_]*")
		}
		v := &View{Name: name}
		p.d.Views[name] = v
		p.members(n, join(path, name), map[string]member{
			"from": func(n ast.Node, path string) {
				v.From = p.fieldNames(n, path)
				if len(v.From) == 0 {
					p.fail(n, path, "must name a field")
				}
			},
			"cel": func(n ast.Node, path string) { v.CEL = p.text(n, path, MaxExpression) },
		}, "from", "cel")
	})
}

func (p *parsing) operations(n ast.Node, path string) (out []Operation) {
	p.texts(n, path, "must be an operation, one of "+strings.Join(operationNames[:], ", "), func(name string) bool {
		op, ok := OperationNamed(name)
		out = append(out, op)
		return ok
	})
	if len(out) == 0 {
		p.fail(n, path, "must name an operation")
	}
	return out
}

func (p *parsing) rules(n ast.Node, path string) {
	p.list(n, path, MaxRules, func(n ast.Node, path string) {
		p.d.Rules = append(p.d.Rules, Rule{})
		r := &p.d.Rules[len(p.d.Rules)-1]
		p.members(n, path, map[string]member{
			"principals": func(n ast.Node, path string) {
				r.Principals = p.texts(n, path, "must begin with key:, sig: or oidc:, or be *, with at most one *, at its end",
					validPrincipal)
				if len(r.Principals) == 0 {
					p.fail(n, path, "must name a principal")
				}
			},
			"domains":    func(n ast.Node, path string) { r.Domains = p.patterns(n, path) },
			"operations": func(n ast.Node, path string) { r.Operations = p.operations(n, path) },
			"raw":        func(n ast.Node, path string) { r.Raw = p.patterns(n, path) },
			"views": func(n ast.Node, path string) {
				r.Views = p.texts(n, path, "must match [a-z][a-z0-9_]*", sealed.ValidName[string])
			},
			"tenants":      func(n ast.Node, path string) { r.Tenants = p.patterns(n, path) },
			"audiences":    func(n ast.Node, path string) { r.Audiences = p.patterns(n, path) },
			"purposes":     func(n ast.Node, path string) { r.Purposes = p.patterns(n, path) },
			"decrypt_rate": func(n ast.Node, path string) { r.Rate = p.rate(n, path) },
			"classes": func(n ast.Node, path string) {
				r.Classes = map[string]*ClassRule{}
				p.each(n, path, MaxList, func(name string, n ast.Node, path string) {
					r.Classes[name] = p.classRule(n, join(path, name))
				})
			},
		}, "principals")
	})
}

func (p *parsing) classRule(n ast.Node, path string) *ClassRule {
	c := &ClassRule{}
	p.members(n, path, map[string]member{
		"operations": func(n ast.Node, path string) { c.Operations = p.operations(n, path) },
		"raw":        func(n ast.Node, path string) { c.Raw = p.flag(n, path) },
		"views": func(n ast.Node, path string) {
			c.Views = p.texts(n, path, "must match [a-z][a-z0-9_]*", sealed.ValidName[string])
		},
	}, "operations")
	return c
}

func (p *parsing) rate(n ast.Node, path string) *Rate {
	rate := &Rate{}
	p.members(n, path, map[string]member{
		"per_second": func(n ast.Node, path string) { rate.PerSecond = p.number(n, path, MinRate, MaxRate) },
		"burst":      func(n ast.Node, path string) { rate.Burst = int(p.whole(n, path, 1, MaxRate)) },
		"per_day":    func(n ast.Node, path string) { rate.PerDay = int(p.whole(n, path, 1, MaxPerDay)) },
	})
	if rate.PerSecond == 0 && (rate.PerDay == 0 || rate.Burst != 0) {
		p.fail(n, path, "must have per_second or per_day; burst is of per_second")
	}
	return rate
}

// check looks at what members say of one another.
func (p *parsing) check(n ast.Node) {
	if !p.d.NotAfter.After(p.d.Issued) {
		p.fail(n, "not_after", "must be after issued")
	}
	names := map[string]bool{}
	issuers := map[string]bool{}
	once := func(path, id string) {
		if names[strings.ToLower(id)] {
			p.fail(n, path, "two callers have one id")
		}
		names[strings.ToLower(id)] = true
	}
	principals := map[string]bool{}
	for _, k := range p.d.APIKeys {
		once("callers.api_keys", k.ID)
		principals["key:"+k.ID] = true
	}
	for _, k := range p.d.Keys {
		once("callers.keys", k.ID)
		principals["sig:"+k.ID] = true
	}
	for _, i := range p.d.Issuers {
		if issuers[i.Issuer] {
			p.fail(n, "callers.oidc", "an issuer stands twice")
		}
		issuers[i.Issuer] = true
	}
	for i := range p.d.Rules {
		p.checkRule(n, &p.d.Rules[i], "rules["+itoa(i)+"]", principals)
	}
}

func (p *parsing) checkRule(n ast.Node, r *Rule, path string, principals map[string]bool) {
	for _, name := range r.Principals {
		if kind, _, _ := strings.Cut(name, ":"); (kind == "key" || kind == "sig") && !strings.HasSuffix(name, "*") &&
			!principals[name] {
			p.fail(n, path+".principals", "no caller has this id")
		}
	}
	for _, view := range r.Views {
		if p.d.Views[view] == nil {
			p.fail(n, path+".views", "a view that there is none of")
		}
	}
	for name, c := range r.Classes {
		class := p.d.Classes[name]
		if class == nil {
			p.fail(n, path+".classes", "a class that there is none of")
			continue
		}
		for _, view := range c.Views {
			if _, ok := class.Views[view]; !ok {
				p.fail(n, path+".classes", "a view that the class has none of")
			}
		}
	}
	p.checkListed(n, path+".tenants", r.Tenants, p.d.Tenants)
	p.checkListed(n, path+".audiences", r.Audiences, p.d.Audiences)
	if len(r.Operations) == 0 && len(r.Classes) == 0 {
		p.fail(n, path, "must have operations or classes")
	}
	if len(r.Operations) == 0 && len(r.Domains)+len(r.Raw)+len(r.Views) > 0 {
		p.fail(n, path, "has domains, raw or views, and no operations")
	}
}

func (p *parsing) checkListed(n ast.Node, path string, patterns, list []string) {
	for _, name := range patterns {
		if !strings.HasSuffix(name, "*") && !slices.Contains(list, name) {
			p.fail(n, path, "a name that the policy does not list")
		}
	}
}

// verifier reads a key of a signed note, and returns what it verifies with: Ed25519, not of small order.
func verifier(text string) (note.Verifier, [32]byte, error) {
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, [32]byte{}, ErrKeys
	}
	_, rest, _ := strings.Cut(text, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(b) != 33 || !domain.StrongKey([32]byte(b[1:])) { // the first byte is the algorithm
		return nil, [32]byte{}, ErrKeys
	}
	return v, [32]byte(b[1:]), nil
}
