package expr

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"
)

// Plan is the prepared form of a request shape: its programs, their order, and which variable is which field. It is
// immutable, shared between requests, and safe for concurrent use.
type Plan struct {
	e      *Evaluator
	fields int
	exprs  []planned // in request order
	order  []int     // indexes of exprs, dependencies first
	reads  []Read
}

// planned is one expression of a request.
type planned struct {
	err  Kind     // decided without evaluation
	at   Position // the place in the source that err is about, if there is one
	prog *program
	// sources[i] is where prog.vars[i] comes from.
	sources []source
}

// source is a field, by index, or another expression, or null.
type source struct {
	null       bool
	expression bool
	index      int
}

// Prepare returns the plan for expressions over fields of these names, in this order. It reads only the names of
// fields. Expressions that cannot be compiled do not make it fail: they are error entries of each Eval. Its only
// error is [ErrTooMany]. Names and sources are borrowed; a plan keeps its own copies. Names should be unique: of two
// equal ones expressions see the first.
func (e *Evaluator) Prepare(fields []Field, exprs []Expression) (*Plan, error) {
	if len(exprs) > e.limits.Expressions {
		return nil, ErrTooMany
	}
	plan, _ := e.shape(fields, exprs, true)
	return plan, nil
}

// Cached is Prepare for callers that have no time to compile. It returns false if the plan is not there yet.
func (e *Evaluator) Cached(fields []Field, exprs []Expression) (*Plan, bool) {
	return e.shape(fields, exprs, false)
}

// Compile compiles expression i, so that Prepare of the same expressions finds it. It is safe for concurrent use:
// several goroutines can share the slow part of preparing a request, or do it in between other work.
func (e *Evaluator) Compile(exprs []Expression, i int) {
	sources := 0
	for k := range i + 1 {
		sources += len(exprs[k].Source)
	}
	if len(exprs) <= e.limits.Expressions && sources <= e.limits.RequestSource {
		e.program(exprs[i].Source)
	}
}

// shape finds a plan, and builds it on demand.
func (e *Evaluator) shape(fields []Field, exprs []Expression, build bool) (*Plan, bool) {
	buf, _ := e.keys.Get().(*[]byte)
	key := appendShape((*buf)[:0], fields, exprs)
	plan, ok := e.plans.get(key)
	if ok {
		e.hits.Add(1)
	}
	if !ok && build {
		e.misses.Add(1)
		var size int
		plan, size = e.plan(fields, exprs)
		e.plans.put(key, plan, size)
	}
	if *buf = key; cap(key) <= maxPooled {
		e.keys.Put(buf)
	}
	return plan, ok
}

// maxPooled bounds the buffers kept between requests.
const maxPooled = 64 << 10

// appendShape appends everything that distinguishes two requests: all names and sources, each preceded by its length.
func appendShape(key []byte, fields []Field, exprs []Expression) []byte {
	key = binary.AppendUvarint(key, uint64(len(fields)))
	for i := range fields {
		key = binary.AppendUvarint(key, uint64(len(fields[i].Name)))
		key = append(key, fields[i].Name...)
	}
	for i := range exprs {
		key = binary.AppendUvarint(key, uint64(len(exprs[i].Name)))
		key = append(key, exprs[i].Name...)
		key = binary.AppendUvarint(key, uint64(len(exprs[i].Source)))
		key = append(key, exprs[i].Source...)
	}
	return key
}

// plan builds a plan and estimates its size, with the programs that it keeps alive.
func (e *Evaluator) plan(fields []Field, exprs []Expression) (*Plan, int) {
	p := &Plan{e: e, fields: len(fields), exprs: make([]planned, len(exprs))}
	size, sources := 0, 0
	fieldIndex := make(map[string]int, len(fields))
	for i := len(fields) - 1; i >= 0; i-- {
		fieldIndex[string(fields[i].Name)] = i
	}
	exprIndex := make(map[string]int, len(exprs))
	for i := len(exprs) - 1; i >= 0; i-- {
		exprIndex[string(exprs[i].Name)] = i
	}
	deps := make([][]int, len(exprs))
	for i := range exprs {
		sources += len(exprs[i].Source)
		prog := &program{err: KindLength}
		if sources <= e.limits.RequestSource {
			prog = e.program(exprs[i].Source)
		}
		p.exprs[i] = planned{err: prog.err, at: prog.at, prog: prog}
		p.exprs[i].resolve(&exprs[i], fieldIndex, exprIndex)
		size += prog.size + entryOverhead
		for _, s := range p.exprs[i].sources {
			if s.expression {
				deps[i] = append(deps[i], s.index)
			}
		}
		slices.Sort(deps[i])
	}
	var cyclic []bool
	p.order, cyclic = order(deps)
	for i := range cyclic {
		if cyclic[i] && p.exprs[i].err == KindNone {
			p.exprs[i].err = KindCycle
		}
	}
	p.access()
	return p, size + len(p.reads)*int(unsafe.Sizeof(Read{}))
}

// resolve finds the source of each variable. Inside an expression its own name is the field of that name. If the
// request has no such field it is null, like a field that the record does not have. Everywhere else an expression
// hides a field of its name.
func (p *planned) resolve(self *Expression, fields, exprs map[string]int) {
	if p.err != KindNone {
		return
	}
	first := int32(math.MaxInt32)
	p.sources = make([]source, len(p.prog.vars))
	for i, name := range p.prog.vars {
		field, isField := fields[name]
		expression, isExpression := exprs[name]
		switch {
		case isField && (name == string(self.Name) || !isExpression):
			p.sources[i] = source{index: field}
		case name == string(self.Name):
			p.sources[i] = source{null: true}
		case isExpression:
			p.sources[i] = source{expression: true, index: expression}
		default:
			p.err = KindName
			first = min(first, p.prog.places[i])
		}
	}
	if p.err != KindNone {
		p.at = positionAt(self.Source, first)
	}
}

// Position says where in the source of expression i its result's Err lies: the place of the syntax error, the name or
// the function. It is the zero value if there is no such place, as for every fault that evaluation finds.
func (p *Plan) Position(i int) Position { return p.exprs[i].at }
