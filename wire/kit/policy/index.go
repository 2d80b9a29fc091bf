package policy

import (
	"slices"
	"strings"
)

// set is a set of rules by their number.
type set [MaxRules / 64]uint64

func (s *set) add(rule int)      { s[rule/64] |= 1 << (rule % 64) }
func (s *set) has(rule int) bool { return s[rule/64]&(1<<(rule%64)) != 0 }

func (s *set) or(o *set) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *set) meets(o *set) bool {
	var some uint64
	for i := range s {
		some |= s[i] & o[i]
	}
	return some != 0
}

var noRules set

// validPattern accepts text with at most one "*", at its end, where it stands for any characters.
func validPattern(p string) bool {
	at := strings.IndexByte(p, '*')
	return len(p) > 0 && len(p) <= MaxName && (at < 0 || at == len(p)-1)
}

func validPrincipal(p string) bool {
	kind, rest, ok := strings.Cut(p, ":")
	return validPattern(p) && (p == "*" || ok && rest != "" && (kind == "key" || kind == "sig" || kind == "oidc"))
}

// matches is what a pattern means.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// index finds the rules of the patterns that match a name: in one map for names that stand in the policy, and else by
// the longest prefix, whose rules include those of all shorter ones. So the cost does not grow with the patterns.
type index struct {
	exact    map[string]*set
	prefixes []prefix // ascending by text
}

type prefix struct {
	text   string
	parent int // the longest prefix in the list that is a prefix of this one; -1 without
	rules  set
}

// builder collects patterns.
type builder struct{ exact, prefixes map[string]*set }

func newBuilder() *builder {
	return &builder{exact: map[string]*set{}, prefixes: map[string]*set{}}
}

func (b *builder) add(rule int, patterns ...string) {
	for _, p := range patterns {
		m, text := b.exact, p
		if cut, ok := strings.CutSuffix(p, "*"); ok {
			m, text = b.prefixes, cut
		}
		if m[text] == nil {
			m[text] = &set{}
		}
		m[text].add(rule)
	}
}

func (b *builder) index() *index {
	x := &index{exact: b.exact}
	for text, rules := range b.prefixes {
		x.prefixes = append(x.prefixes, prefix{text: text, rules: *rules})
	}
	slices.SortFunc(x.prefixes, func(a, b prefix) int { return strings.Compare(a.text, b.text) })
	for i := range x.prefixes {
		p := &x.prefixes[i]
		p.parent = i - 1
		for p.parent >= 0 && !strings.HasPrefix(p.text, x.prefixes[p.parent].text) {
			p.parent = x.prefixes[p.parent].parent
		}
		if p.parent >= 0 {
			p.rules.or(&x.prefixes[p.parent].rules)
		}
	}
	for name, rules := range x.exact {
		rules.or(longest(x.prefixes, name))
	}
	return x
}

// find returns the rules whose patterns match a name.
func find[T string | []byte](x *index, name T) *set {
	if rules, ok := x.exact[string(name)]; ok {
		return rules
	}
	return longest(x.prefixes, name)
}

// longest returns the rules of the longest prefix of name. The last prefix that does not come after name, or one of its
// own prefixes, is it: what lies between a prefix of name and name begins with that prefix too.
func longest[T string | []byte](prefixes []prefix, name T) *set {
	low, high := 0, len(prefixes)
	for low < high {
		if mid := (low + high) / 2; prefixes[mid].text <= string(name) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for i := low - 1; i >= 0; i = prefixes[i].parent {
		if p := &prefixes[i]; len(p.text) <= len(name) && p.text == string(name[:len(p.text)]) {
			return &p.rules
		}
	}
	return &noRules
}
