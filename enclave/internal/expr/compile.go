package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

type parserError = common.Error

// program is one compiled expression, independent of any request. It is immutable. If err is not KindNone, every
// evaluation fails with it.
type program struct {
	err  Kind
	at   Position // the place in the source that err is about, if there is one
	prog cel.Program
	// vars are the free names, in order. places says where each occurs first, in characters.
	vars   []string
	places []int32
	// tree is the expression as it runs.
	tree ast.Expr
	// size estimates the memory that the program holds.
	size int
	// units is the price of going through the tree once.
	units uint64
}

// nodesPerUnit is how many nodes of the tree one unit pays for, where cel-go charges nothing: literals, conditions,
// and calls whose argument is an error.
const nodesPerUnit = 8

// selectNodes and choiceNodes say for how many more nodes a selection and a condition count: an error with a text is
// made if x in x.a is no map, and if a condition is no bool.
const (
	selectNodes = 2 * nodesPerUnit
	choiceNodes = nodesPerUnit
)

// Estimates for the caches: what a compiled program holds in all, and for each syntax node (tree, types, plan).
const (
	programBytes = 2 << 10
	nodeBytes    = 512
)

// program returns the compiled form of source, from the cache if it is there.
func (e *Evaluator) program(source []byte) *program {
	if len(source) > e.limits.Source {
		return &program{err: KindLength}
	}
	if p, ok := e.programs.get(source); ok {
		return p
	}
	p := e.compile(string(source))
	p.size += programBytes + len(source)
	e.programs.put(source, p, p.size)
	return p
}

// compile parses, checks, rewrites and plans. It reports every failure in the program's err, also a panic in cel-go.
func (e *Evaluator) compile(source string) (p *program) {
	defer func() {
		if recover() != nil {
			p = &program{err: KindInternal}
		}
	}()
	src := common.NewTextSource(source)
	tree, errs := e.parser.Parse(src)
	if len(errs.GetErrors()) > 0 {
		return parseFailure(source, errs.GetErrors()[0])
	}
	w := walker{e: e, fac: newFactory(), source: source, info: tree.SourceInfo()}
	w.walk(tree.Expr(), 0)
	if w.nodes > e.limits.Nodes {
		w.err = KindComplexity
	}
	if w.err != KindNone {
		return &program{err: w.err, at: w.at}
	}
	vars, places := w.names()
	prog, err := e.env.PlanProgram(tree, cel.CostLimit(uint64(e.limits.Cost)), e.decorate)
	if err != nil {
		return &program{err: KindCompile}
	}
	return &program{
		prog: prog, vars: vars, places: places, tree: tree.Expr(), size: w.nodes * nodeBytes,
		units: uint64(w.work / nodesPerUnit),
	}
}

// parseFailure distinguishes the parser's limits from its other errors, which have a place.
func parseFailure(source string, err *parserError) *program {
	if strings.Contains(err.Message, "limit") && strings.Contains(err.Message, "exceed") {
		return &program{err: KindComplexity}
	}
	return &program{err: KindCompile, at: positionOf(source, err.Location)}
}

// walker inspects and rewrites a parsed tree.
type walker struct {
	e     *Evaluator
	err   Kind
	at    Position
	nodes int
	work  int // nodes, each counted as often as its price says
	loops int
	free  []freeName
	bound []string
	fac   ast.ExprFactory

	source string
	info   *ast.SourceInfo
}

func (w *walker) fail(k Kind) {
	if w.err == KindNone {
		w.err = k
	}
}

// failAt fails with a place in the source.
func (w *walker) failAt(k Kind, at Position) {
	if w.err == KindNone {
		w.err, w.at = k, at
	}
}

// walk visits a node. The parser bounds the depth, since it counts each level of nesting.
func (w *walker) walk(x ast.Expr, depth int) {
	w.nodes++
	w.work++
	if w.err != KindNone {
		return
	}
	if w.nodes > w.e.limits.Nodes || depth > 8*w.e.limits.Depth {
		w.fail(KindComplexity)
		return
	}
	switch x.Kind() {
	case ast.IdentKind:
		w.ident(x)
	case ast.CallKind:
		w.call(x, depth)
	case ast.SelectKind:
		w.work += selectNodes
		w.walk(x.AsSelect().Operand(), depth+1)
	case ast.ListKind:
		w.list(x, depth)
	case ast.MapKind:
		w.object(x, depth)
	case ast.ComprehensionKind:
		w.comprehension(x.AsComprehension(), depth)
	case ast.LiteralKind:
	default: // a message literal: this language has no messages
		w.failAt(KindCompile, positionAt(w.source, w.offset(x)))
	}
}

func (w *walker) ident(x ast.Expr) {
	name := x.AsIdent()
	switch {
	case slices.Contains(w.bound, name):
	case !isIdentifier(name): // .x, by which CEL means a name of the container
		w.failAt(KindCompile, positionAt(w.source, w.offset(x)))
	default:
		w.free = append(w.free, freeName{name, w.offset(x)})
	}
}

// freeLiteral is how many elements a list or map literal may have without a charge. cel-go gives a literal one price
// whatever its length, and a loop may make it anew each time.
const freeLiteral = 8

func (w *walker) list(x ast.Expr, depth int) {
	elements := x.AsList().Elements()
	for _, el := range elements {
		w.walk(el, depth+1)
	}
	if len(elements) > freeLiteral {
		w.charge(x, w.fac.NewList(x.ID(), elements, nil), len(elements))
	}
}

func (w *walker) object(x ast.Expr, depth int) {
	entries := x.AsMap().Entries()
	seen := make(map[ref.Val]struct{}, len(entries))
	for _, entry := range entries {
		key := entry.AsMapEntry().Key()
		if w.repeated(key, seen) {
			w.failAt(KindCompile, positionAt(w.source, w.offset(key)))
			return
		}
		w.walk(key, depth+1)
		w.walk(entry.AsMapEntry().Value(), depth+1)
		if key.Kind() != ast.LiteralKind {
			key.SetKindCase(w.fac.NewCall(key.ID(), opKey, w.moved(key)))
		}
	}
	if len(entries) > freeLiteral {
		w.charge(x, w.fac.NewMap(x.ID(), entries), len(entries))
	}
}

// repeated reports whether a key is a literal that was seen before, and notes it. Computed keys are compared when the
// map is made.
func (w *walker) repeated(key ast.Expr, seen map[ref.Val]struct{}) bool {
	if key.Kind() != ast.LiteralKind || !isKey(key.AsLiteral()) {
		return false
	}
	_, twice := seen[key.AsLiteral()]
	seen[key.AsLiteral()] = struct{}{}
	return twice
}

// charge turns x into a call that returns y and costs n.
func (w *walker) charge(x, y ast.Expr, n int) {
	x.SetKindCase(w.fac.NewCall(x.ID(), opCharged, y, w.fac.NewLiteral(x.ID(), types.Int(n))))
}

// moved returns a new node with the content of x, so that x can become a call of it.
func (w *walker) moved(x ast.Expr) ast.Expr {
	y := w.fac.NewUnspecifiedExpr(x.ID())
	y.SetKindCase(x)
	return y
}

func (w *walker) call(x ast.Expr, depth int) {
	c := x.AsCall()
	name, n := c.FunctionName(), len(c.Args())
	if op, ok := rewritten[name]; ok {
		name = op
		x.SetKindCase(w.fac.NewCall(x.ID(), op, c.Args()...))
		c = x.AsCall()
	}
	if name == operators.LogicalAnd || name == operators.LogicalOr || name == operators.Conditional {
		w.work += choiceNodes
	}
	known := w.e.calls[name]
	exists := known.call>>n&1 == 1
	if c.IsMemberFunction() {
		exists = known.method>>(n+1)&1 == 1
	}
	if !exists {
		w.failAt(KindFunction, w.callPosition(x, name))
		return
	}
	if c.IsMemberFunction() {
		w.walk(c.Target(), depth+1)
	}
	for _, arg := range c.Args() {
		w.walk(arg, depth+1)
	}
}

// perTurn is the price of one turn of a loop, beside the price of what happens in it.
const perTurn = 2

// comprehension visits a loop. The range and the initial value are outside the scope of its variables.
//
// Each turn of the loop is charged, together with its share of what cel-go charges nothing for. Otherwise a filter
// whose condition is a literal would be free.
func (w *walker) comprehension(c ast.ComprehensionExpr, depth int) {
	over := c.IterRange()
	w.walk(over, depth+1)
	over.SetKindCase(w.fac.NewCall(over.ID(), opRange, w.moved(over)))
	w.walk(c.AccuInit(), depth+1)
	if w.loops++; w.loops > w.e.limits.LoopNesting {
		w.fail(KindComplexity)
	}
	mark := len(w.bound)
	w.bound = append(w.bound, c.AccuVar())
	w.walk(c.Result(), depth+1)
	w.bound = append(w.bound, c.IterVar())
	if c.HasIterVar2() {
		w.bound = append(w.bound, c.IterVar2())
	}
	before := w.work
	w.walk(c.LoopCondition(), depth+1)
	w.walk(c.LoopStep(), depth+1)
	cond := c.LoopCondition()
	w.charge(cond, w.moved(cond), perTurn+(w.work-before)/nodesPerUnit)
	w.bound = w.bound[:mark]
	w.loops--
}

// isIdentifier reports whether an expression can use this name for a variable.
func isIdentifier[T string | []byte](name T) bool {
	if len(name) == 0 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// newFactory makes the nodes that the walker puts into a tree.
func newFactory() ast.ExprFactory { return ast.NewExprFactory() }
