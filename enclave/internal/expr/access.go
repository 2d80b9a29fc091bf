package expr

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// These bound what a result may tell of a field and still count as reduced. Beyond either bound the field counts as
// raw.
const (
	// ReducedChars is the most characters of a field that a result may show: as many as mask() shows by default.
	ReducedChars = 4
	// ReducedFacts is the most facts about a field, each a yes or no or a small number, on which a result may depend.
	ReducedFacts = 16
)

// Read says that an expression reads a field, itself or through other expressions. Both are indexes into the lists
// given to [Evaluator.Prepare].
type Read struct {
	Expression, Field int
	// Raw says that the result may hold the field's value unchanged, or in a form from which it can be restored.
	Raw bool
}

// Reads lists what the expressions read, in the order of expressions and, for each, of fields. It depends on names
// and sources alone, never on a value. The slice is shared: callers MUST NOT change it. See Access in the package's
// doc.
func (p *Plan) Reads() []Read { return p.reads }

// access fills p.reads. Expressions that are never evaluated read nothing.
func (p *Plan) access() {
	of := make([]shares, len(p.exprs))
	a := analyst{fields: p.fields, price: 1 + p.fields/fieldsPerUnit, left: accessBudget}
	for _, i := range p.order {
		if x := &p.exprs[i]; x.err == KindNone {
			of[i] = a.expression(x, of)
		}
	}
	for i := range of {
		for k, s := range of[i] {
			if s.read {
				p.reads = append(p.reads, Read{Expression: i, Field: k, Raw: s.raw()})
			}
		}
	}
}

// The analysis of a plan has a budget, about 5 ms: nested loops over literal lists could take a hostile caller's
// expression much longer to analyse than to compile. Once the budget is spent, the remaining expressions count as
// holding everything that they read.
const (
	// accessBudget is in units. A visit of a node costs one, and one more for each fieldsPerUnit fields.
	accessBudget  = 1 << 16
	fieldsPerUnit = 25
	// maxRounds is the longest literal list whose loop is followed round by round.
	maxRounds = 16
)

// analyst follows fields through a syntax tree.
type analyst struct {
	fields  int
	current *planned
	of      []shares // of the expressions so far
	price   int      // cost of a visit, in units
	left    int      // what is left of the budget, in units
	scope   []bound
	spare   []shares
}

// bound is a variable of a loop, with what it tells of each field.
type bound struct {
	name string
	is   shares
}

// expression returns what x tells of each field.
func (a *analyst) expression(x *planned, of []shares) shares {
	a.current, a.of = x, of
	out := a.visit(x.prog.tree)
	if a.left >= 0 {
		return out
	}
	a.scope = a.scope[:0]
	for i := range x.prog.vars {
		out = a.add(out, a.source(x.sources[i]))
	}
	for k := range out {
		if out[k].read {
			out[k].chars = most
		}
	}
	return out
}

// visit returns what the value of a node tells. The caller owns it.
func (a *analyst) visit(x ast.Expr) shares {
	if a.left -= a.price; a.left < 0 {
		return nil
	}
	switch x.Kind() {
	case ast.IdentKind:
		return a.variable(x.AsIdent())
	case ast.CallKind:
		return a.call(x.AsCall())
	case ast.SelectKind:
		s := a.visit(x.AsSelect().Operand())
		if x.AsSelect().IsTestOnly() {
			s.fact()
		}
		return s
	case ast.ListKind:
		return a.sum(x.AsList().Elements()...)
	case ast.MapKind:
		var s shares
		for _, entry := range x.AsMap().Entries() {
			s = a.add(s, a.sum(entry.AsMapEntry().Key(), entry.AsMapEntry().Value()))
		}
		return s
	case ast.ComprehensionKind:
		return a.loop(x.AsComprehension())
	default: // a literal
		return nil
	}
}

func (a *analyst) sum(all ...ast.Expr) shares {
	var s shares
	for _, x := range all {
		s = a.add(s, a.visit(x))
	}
	return s
}

func (a *analyst) variable(name string) shares {
	for i := len(a.scope) - 1; i >= 0; i-- {
		if a.scope[i].name == name {
			return a.copy(a.scope[i].is)
		}
	}
	for i, v := range a.current.prog.vars {
		if v == name {
			return a.source(a.current.sources[i])
		}
	}
	return nil
}

func (a *analyst) source(s source) shares {
	if s.expression {
		return a.copy(a.of[s.index])
	}
	out := a.blank()
	if s.null {
		return out
	}
	out[s.index] = share{read: true, chars: most}
	return out
}

func (a *analyst) call(c ast.CallExpr) shares {
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	name := c.FunctionName()
	if name == operators.Conditional && len(args) == 3 {
		s := a.visit(args[0])
		s.fact()
		return a.add(s, a.either(a.visit(args[1]), a.visit(args[2])))
	}
	s := a.sum(args...)
	switch r := reducers[name]; r {
	case passes:
	case verdict:
		s.fact()
	case hides:
		s.hide()
	case shows:
		if n, ok := shownBy(args); ok {
			s.limit(n)
		}
	default:
		s.limit(int(r))
	}
	return s
}

// shownBy returns how many characters mask, first or last shows, if that is a constant that counts as reduced.
func shownBy(args []ast.Expr) (int, bool) {
	if len(args) == 1 {
		return maskShown, true
	}
	if args[1].Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := args[1].AsLiteral().(types.Int)
	return int(n), ok && 0 <= n && n <= ReducedChars
}

// loop follows a loop over a short literal list round by round. For every other loop the number of rounds is not
// known.
func (a *analyst) loop(c ast.ComprehensionExpr) shares {
	accu := a.visit(c.AccuInit())
	if elements, ok := literalList(c.IterRange()); ok && len(elements) <= maxRounds {
		for _, el := range elements {
			accu = a.round(c, accu, a.visit(el))
		}
	} else {
		accu = a.rounds(c, accu, a.visit(c.IterRange()))
	}
	a.scope = append(a.scope, bound{c.AccuVar(), accu})
	out := a.visit(c.Result())
	a.scope = a.scope[:len(a.scope)-1]
	a.drop(accu)
	return out
}

// rounds covers any number of rounds. The first round brings in what a round reads. If a later round would tell more
// of a field than the round before, the field counts as raw. A yes or no stays one, and does not grow. rounds takes
// over accu and x.
func (a *analyst) rounds(c ast.ComprehensionExpr, accu, x shares) shares {
	once := a.round(c, a.copy(accu), a.copy(x))
	twice := a.round(c, a.copy(once), a.copy(x))
	thrice := a.round(c, a.copy(twice), x)
	for k := range thrice {
		if twice == nil || thrice[k].tellsMoreThan(twice[k]) {
			thrice[k].chars = most
		}
	}
	a.drop(once)
	a.drop(twice)
	return a.either(accu, thrice)
}

// literalList returns the elements of a list literal, also if the literal was wrapped in order to be charged.
func literalList(x ast.Expr) ([]ast.Expr, bool) {
	for x.Kind() == ast.CallKind && (x.AsCall().FunctionName() == opRange || x.AsCall().FunctionName() == opCharged) {
		x = x.AsCall().Args()[0]
	}
	if x.Kind() != ast.ListKind {
		return nil, false
	}
	return x.AsList().Elements(), true
}

// round follows one round, and returns what the accumulator tells after it. It takes over accu and x.
func (a *analyst) round(c ast.ComprehensionExpr, accu, x shares) shares {
	mark := len(a.scope)
	a.scope = append(a.scope, bound{c.AccuVar(), accu}, bound{c.IterVar(), x})
	if c.HasIterVar2() {
		a.scope = append(a.scope, bound{c.IterVar2(), x})
	}
	goesOn := a.visit(c.LoopCondition())
	goesOn.fact()
	out := a.add(a.visit(c.LoopStep()), goesOn)
	a.scope = a.scope[:mark]
	a.drop(accu)
	a.drop(x)
	return out
}
