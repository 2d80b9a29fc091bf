package expr

import "cel.dev/cel-go/common/operators"

// most stands for all of a field, and for any number that is too large to count.
const most = 255

// share is what a value may tell of one field.
type share struct {
	read         bool
	chars, facts uint8 // shown characters, and facts; the constant most means all
}

func (s share) raw() bool { return s.chars > ReducedChars || s.facts > ReducedFacts }

func (s share) tellsMoreThan(t share) bool { return s.chars > t.chars || s.facts > t.facts }

// shares has a share for each field of a plan. nil stands for a value that depends on no field.
type shares []share

// fact turns s into the shares of a yes or no, or of a small number.
func (s shares) fact() {
	for k := range s {
		if s[k].chars > 0 || s[k].facts > 0 {
			s[k].chars, s[k].facts = 0, 1
		}
	}
}

// hide turns s into the shares of a value that tells nothing.
func (s shares) hide() {
	for k := range s {
		s[k].chars, s[k].facts = 0, 0
	}
}

// limit turns s into the shares of a value of at most n characters.
func (s shares) limit(n int) {
	for k := range s {
		s[k].chars = min(s[k].chars, uint8(n))
	}
}

// add returns what both values together tell. It takes over both.
func (a *analyst) add(s, t shares) shares {
	if s == nil {
		return t
	}
	for k := range t {
		x, y := &s[k], &t[k]
		x.read = x.read || y.read
		x.chars, x.facts = sum(x.chars, y.chars), sum(x.facts, y.facts)
	}
	a.drop(t)
	return s
}

func sum(x, y uint8) uint8 { return uint8(min(uint(x)+uint(y), most)) }

// either returns what one of two values tells, if it is not known which. It takes over both.
func (a *analyst) either(s, t shares) shares {
	if s == nil {
		return t
	}
	for k := range t {
		x, y := &s[k], &t[k]
		x.read = x.read || y.read
		x.chars, x.facts = max(x.chars, y.chars), max(x.facts, y.facts)
	}
	a.drop(t)
	return s
}

// blank returns shares that tell nothing. It reuses dropped ones if there are any.
func (a *analyst) blank() shares {
	n := len(a.spare)
	if n == 0 {
		return make(shares, a.fields)
	}
	s := a.spare[n-1]
	a.spare = a.spare[:n-1]
	clear(s)
	return s
}

func (a *analyst) copy(s shares) shares {
	if s == nil {
		return nil
	}
	t := a.blank()
	copy(t, s)
	return t
}

func (a *analyst) drop(s shares) {
	if s != nil {
		a.spare = append(a.spare, s)
	}
}

// reducer says how much a function or operator lets through of its operands: one of the constants below, or else the
// number of characters that its value stands for.
type reducer uint8

const (
	passes  reducer = 0 // all of it
	verdict reducer = 253
	hides   reducer = 254
	shows   reducer = 255 // as many characters as its second operand says
)

// These say for how many characters the parts of a time count. A whole date or time of day counts as raw. A year with
// a month, or a day with its month, does not.
const (
	partOfTime = 2
	dayOfYear  = 3
)

// reducers lists the functions that reduce. All others pass. So a function that is added to the language counts as
// passing until it is listed here. Digests without a key pass, since a value that can be guessed can be found from
// its digest.
var reducers = map[string]reducer{
	opEqual: verdict, opNotEqual: verdict, opIn: verdict,
	operators.Less: verdict, operators.LessEquals: verdict,
	operators.Greater: verdict, operators.GreaterEquals: verdict,
	operators.LogicalAnd: verdict, operators.LogicalOr: verdict, operators.LogicalNot: verdict,
	operators.NotStrictlyFalse: verdict,
	"contains":                 verdict, "startsWith": verdict, "endsWith": verdict, "is_empty": verdict,
	"size": verdict, "age": verdict,

	"redact": hides, "hmac_sha256": hides,
	"mask": shows, "first": shows, "last": shows,

	"getFullYear": partOfTime, "getMonth": partOfTime, "getDate": partOfTime, "getDayOfMonth": partOfTime,
	"getDayOfWeek": partOfTime, "getDayOfYear": dayOfYear,
	"getHours": partOfTime, "getMinutes": partOfTime, "getSeconds": partOfTime, "getMilliseconds": partOfTime,
}
