package expr

// Kind says why an expression has no value. The wire code of each is expression_failed, except that the engine
// reports [KindDeadline] as deadline_exceeded and [KindInternal] as internal. Callers are told only those kinds that
// the request's names and sources decide: a kind that depends on a value would tell something of that value.
type Kind uint8

// Kinds. KindNone means that the expression has a value.
const (
	KindNone       Kind = iota
	KindLength          // source longer than Limits.Source
	KindCompile         // not an expression, or one that uses what is not available
	KindComplexity      // too deep, too many nodes, loops nested too far
	KindName            // a name that does not exist
	KindFunction        // a function that does not exist, or not with that number of arguments
	KindType            // an operation on a value of the wrong type, null included
	KindInput           // a value that a function does not accept: bad base64, bad date, overflow, division by zero
	KindCost            // cost limit of the expression or of the request, or an intermediate value too large
	KindOutput          // output limit of the expression or of the request
	KindCycle           // part of a cycle of expressions
	KindDependency      // refers to an expression that failed
	KindNotJSON         // the result has no JSON form: a type, NaN, an infinity, two keys with one text
	KindKey             // hmac_sha256 without a key
	KindDeadline        // the request's deadline passed
	KindInternal        // a panic inside the evaluation
	numKinds
)

var kindNames = [numKinds]string{
	"none", "length", "compile", "complexity", "undeclared_name", "unknown_function", "type", "input", "cost", "output",
	"cycle", "dependency", "not_json", "key", "deadline", "internal",
}

var kindTexts = [numKinds]string{
	"",
	"expression is too long",
	"expression is malformed",
	"expression is too complex",
	"expression refers to an unknown name",
	"expression calls an unknown function",
	"expression applies an operation to a value of the wrong type",
	"expression applies a function to a value it does not accept",
	"expression exceeded its cost limit",
	"expression result is too large",
	"expression is part of a cycle",
	"expression depends on one that failed",
	"expression result has no json form",
	"expression needs a key that is not configured",
	"deadline exceeded",
	"expression could not be evaluated",
}

// String returns the kind's name for metrics and tests.
func (k Kind) String() string {
	if k >= numKinds {
		return "unknown"
	}
	return kindNames[k]
}

// Text returns the static text for callers; it is the same for each failure of a kind.
func (k Kind) Text() string {
	if k >= numKinds {
		return kindTexts[KindInternal]
	}
	return kindTexts[k]
}

// failure is a Kind, as the error that cel-go carries from a function to this package.
type failure Kind

func (f failure) Error() string { return Kind(f).Text() }
