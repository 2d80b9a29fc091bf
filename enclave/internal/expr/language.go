package expr

import (
	"fmt"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"
)

// These are names of operators in our syntax trees for which cel-go's implementation does not fit. Each operator is
// rewritten after parsing. Callers cannot write a name with an @.
const (
	opEqual    = "@equal"     // ==: pays for each pair of elements that it compares
	opNotEqual = "@not_equal" // !=
	opIn       = "@within"    // in: also a substring in a string
	opIndex    = "@index"     // x[i]: also a byte of a string; null if there is no such element
	opMax      = "@max"       // max(a, b, ...)
	opMin      = "@min"
	opCharged  = "@charged" // a list or map literal, or the condition of a loop, with its price
	opKey      = "@key"     // a key of a map literal, charged for its length
	opRange    = "@range"   // the range of a loop: cel-go would count the characters of a string before it fails
)

var rewritten = map[string]string{
	operators.Equals:    opEqual,
	operators.NotEquals: opNotEqual,
	operators.In:        opIn,
	operators.Index:     opIndex,
}

// standardOperators are the functions taken from cel-go's standard library. All others are ours.
var standardOperators = []string{
	operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
	operators.NotStrictlyFalse, operators.Negate, operators.Add, operators.Subtract, operators.Multiply,
	operators.Divide, operators.Modulo, operators.Less, operators.LessEquals, operators.Greater,
	operators.GreaterEquals,
}

// form is a way to write a call.
type form uint8

const (
	call   form = 1 << iota // f(x)
	method                  // x.f()
	both   = call | method
)

// signature is one function of the language. Its subject is the receiver, or the first argument. One of none, one,
// two and walk implements it, by its number of arguments.
type signature struct {
	name  string
	forms form
	price price
	none  func() ref.Val
	one   func(subject ref.Val) ref.Val
	two   func(subject, arg ref.Val) ref.Val
	walk  func(st *state, subject, arg ref.Val) ref.Val
	args  int // number of arguments of walk
}

// callable says with how many arguments, subject included, a function may be called: each number has a bit.
type callable struct{ call, method uint8 }

// settleSharedError sets the node of the one error value that cel-go shares between evaluations. Otherwise cel-go
// would write it when the error first occurs, from every goroutine in which it occurs.
var settleSharedError = sync.OnceFunc(func() { types.LabelErrNode(1, types.NoSuchOverloadErr()) })

// initLanguage builds the parser and the environment.
func (e *Evaluator) initLanguage(lib library) error {
	settleSharedError()
	p, err := parser.NewParser(
		parser.EnablePrattParser(true),
		parser.EnableIdentEscapeSyntax(false),
		parser.Macros(append(parser.AllMacros,
			parser.NewGlobalVarArgMacro("max", variadic(opMax)),
			parser.NewGlobalVarArgMacro("min", variadic(opMin)))...),
		parser.MaxRecursionDepth(e.limits.Depth),
		parser.MaxExpressionNodeCount(e.limits.Nodes),
		parser.ExpressionSizeCodePointLimit(e.limits.Source),
		parser.ErrorReportingLimit(1),
		parser.ErrorRecoveryLimit(0),
	)
	if err != nil {
		return fmt.Errorf("parser: %w", err)
	}
	e.parser = p

	include := make([]*env.Function, len(standardOperators))
	for i, name := range standardOperators {
		include[i] = &env.Function{Name: name}
	}
	opts := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{IncludeFunctions: include, DisableMacros: true})),
	}
	sigs := lib.signatures()
	e.calls = callTable(sigs)
	e.decorate = cel.CustomDecoratorV2(decorator(sigs))
	for _, s := range sigs {
		opts = append(opts, s.declare())
	}
	if e.env, err = cel.NewCustomEnv(opts...); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return nil
}

// arity is the number of arguments, with the subject.
func (s signature) arity() int {
	switch {
	case s.walk != nil:
		return s.args
	case s.one != nil:
		return 1
	case s.two != nil:
		return 2
	default:
		return 0
	}
}

// declare returns the option that adds the signature's overloads to an environment.
func (s signature) declare() cel.EnvOption {
	n := s.arity()
	args := slices.Repeat([]*cel.Type{cel.DynType}, n)
	id := fmt.Sprintf("%s_%d", s.name, n)
	var opts []cel.FunctionOpt
	if s.forms&call != 0 {
		opts = append(opts, cel.Overload("call_"+id, args, cel.DynType, s.binding()))
	}
	if s.forms&method != 0 {
		opts = append(opts, cel.MemberOverload("method_"+id, args, cel.DynType, s.binding()))
	}
	return cel.Function(s.name, opts...)
}

// binding is what cel-go would call. It calls only the functions without arguments. For the others see [node].
func (s signature) binding() cel.OverloadOpt {
	switch s.arity() {
	case 1:
		return cel.UnaryBinding(func(ref.Val) ref.Val { return failed(KindInternal) })
	case 2:
		return cel.BinaryBinding(func(_, _ ref.Val) ref.Val { return failed(KindInternal) })
	default:
		return cel.FunctionBinding(func(...ref.Val) ref.Val { return s.none() })
	}
}

// callTable lists the calls that exist, so that any other call is an error entry before anything runs.
func callTable(sigs []signature) map[string]callable {
	table := make(map[string]callable)
	for _, s := range sigs {
		c := table[s.name]
		if s.forms&call != 0 {
			c.call |= 1 << s.arity()
		}
		if s.forms&method != 0 {
			c.method |= 1 << s.arity()
		}
		table[s.name] = c
	}
	for _, name := range standardOperators {
		table[name] = callable{call: 1<<1 | 1<<2 | 1<<3}
	}
	return table
}

// variadic expands f(a, b, ...) to a call with one argument, a list, and f(a) to a itself. f() stays an unknown
// function.
func variadic(op string) parser.MacroExpander {
	return func(eh parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *parserError) {
		switch len(args) {
		case 0:
			return nil, nil
		case 1:
			return eh.NewCall(op, args[0]), nil
		default:
			return eh.NewCall(op, eh.NewList(args...)), nil
		}
	}
}
