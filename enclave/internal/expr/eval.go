package expr

import (
	"errors"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// state is the reused work space of one Eval. It implements cel-go's activation of the expressions and counts their
// cost.
type state struct {
	e        *Evaluator
	tracker  *cost.Tracker
	deadline time.Time

	limit      uint64 // the cost at which the tracker ends the evaluation
	requestEnd uint64 // the tracker's cost at which the request's budget ends
	price      uint64 // price of the last call
	sinceClock uint64
	outputLeft int // bytes left of the request's output budget
	cancelled  Kind

	current *planned
	fields  []Field
	values  []ref.Val // of fields used, by index
	results []ref.Val // of expressions, by index
	enc     encoder
}

func newState(e *Evaluator) *state {
	st := &state{e: e}
	tracker, err := newTracker(st)
	if err != nil { // an option of ours is wrong: every expression fails, and none goes uncounted
		return st
	}
	st.tracker = tracker
	return st
}

// Eval evaluates all expressions over fields, which must have the names and order given to Prepare. It appends each
// result's bytes to out and one Result for each expression, in request order, to results, and returns both. Values of
// fields are borrowed until Eval returns, and are not copied unless an expression makes something new of them. If out
// must grow, the old array is wiped. A zero deadline means none; after the deadline, what is not done is
// [KindDeadline].
func (p *Plan) Eval(fields []Field, deadline time.Time, out []byte, results []Result) ([]byte, []Result) {
	out, results, _ = p.within(uint64(p.e.limits.RequestCost), fields, deadline, out, results)
	return out, results
}

// Try is Eval for a goroutine on which others wait. It returns false if the evaluation would cost more than units.
// Then nothing is appended, and what was written to out is wiped. Expressions have no effects, so the request can be
// evaluated anew.
func (p *Plan) Try(
	units int, fields []Field, deadline time.Time, out []byte, results []Result,
) ([]byte, []Result, bool) {
	return p.within(uint64(min(units, p.e.limits.RequestCost)), fields, deadline, out, results)
}

// within evaluates for at most that many units. If they are fewer than a request may cost, it gives up once they are
// spent.
func (p *Plan) within(
	units uint64, fields []Field, deadline time.Time, out []byte, results []Result,
) ([]byte, []Result, bool) {
	base, start := len(results), len(out)
	for i := range p.exprs {
		results = append(results, Result{Err: p.exprs[i].err})
	}
	mine := results[base:]
	if len(fields) != p.fields {
		fail(mine, KindInternal)
		return out, results, true
	}
	st, _ := p.e.states.Get().(*state)
	if st.tracker == nil {
		fail(mine, KindInternal)
		return out, results, true
	}
	st.begin(p, fields, deadline, out)
	st.requestEnd = st.tracker.ActualCost() + units
	partial, given := units < uint64(p.e.limits.RequestCost), false
	for _, i := range p.order {
		if mine[i].Err == KindNone && !given {
			mine[i] = st.run(p, i, mine)
			given = partial && mine[i].Err == KindCost
		}
	}
	out = st.end()
	p.e.states.Put(st)
	if given {
		clear(out[start:])
		return out[:start], results[:base], false
	}
	return out, results, true
}

func fail(results []Result, k Kind) {
	for i := range results {
		results[i].Err = k
	}
}

func (st *state) begin(p *Plan, fields []Field, deadline time.Time, out []byte) {
	st.fields, st.deadline = fields, deadline
	st.values = resize(st.values, len(fields))
	st.results = resize(st.results, len(p.exprs))
	st.enc = encoder{out: out, payer: st}
	st.outputLeft = st.e.limits.RequestOutput
	st.sinceClock = 0
}

// end drops every reference to the request.
func (st *state) end() []byte {
	out := st.enc.out
	clear(st.values)
	clear(st.results)
	st.fields, st.current, st.enc = nil, nil, encoder{}
	return out
}

func resize(s []ref.Val, n int) []ref.Val {
	if cap(s) < n {
		return make([]ref.Val, n)
	}
	return s[:n]
}

// run evaluates expression i. Its dependencies have been run.
func (st *state) run(p *Plan, i int, results []Result) Result {
	st.current = &p.exprs[i]
	for _, s := range st.current.sources {
		if s.expression && results[s.index].Err != KindNone {
			return Result{Err: KindDependency}
		}
	}
	if st.expired() {
		return Result{Err: KindDeadline}
	}
	st.arm()
	start := len(st.enc.out)
	r := st.evaluate(i)
	st.outputLeft -= len(st.enc.out) - start // what a failed encoding wrote counts too, since it took time
	if r.Err != KindNone {
		clear(st.enc.out[start:])
		st.enc.out = st.enc.out[:start]
		return Result{Err: r.Err}
	}
	r.Start, r.End = start, len(st.enc.out)
	return r
}

// arm sets the cost at which the next expression ends: its own limit, or what is left of the request's.
func (st *state) arm() {
	st.limit = min(st.tracker.ActualCost()+uint64(st.e.limits.Cost), st.requestEnd)
	st.cancelled = KindNone
}

func (st *state) expired() bool {
	return !st.deadline.IsZero() && !st.e.now().Before(st.deadline)
}

// evaluate runs the current program and encodes its value, which later expressions see.
func (st *state) evaluate(i int) (r Result) {
	defer func() {
		if recover() != nil {
			r = Result{Err: KindInternal}
			if st.cancelled != KindNone {
				r.Err = st.cancelled
			}
		}
	}()
	st.charge(st.current.prog.units)
	v, k := st.exec()
	if k != KindNone {
		return Result{Err: k}
	}
	kind, k := st.encode(v)
	if k != KindNone {
		return Result{Err: k}
	}
	st.results[i] = v
	return Result{Kind: kind}
}

// exec runs the current program under our tracker instead of one of its own, so that costs add up over the request.
func (st *state) exec() (ref.Val, Kind) {
	frame, err := interpreter.NewExecutionFrame(st)
	if err != nil {
		return nil, KindInternal
	}
	defer frame.Close()
	frame.SetCostTracker(st.tracker)
	v, _, err := st.current.prog.prog.Eval(frame)
	switch {
	case st.cancelled != KindNone:
		return nil, st.cancelled
	case err != nil:
		return nil, kindOf(err)
	case v == nil || types.IsUnknown(v):
		return nil, KindInternal
	}
	return v, KindNone
}

// typeErrors are the marks of cel-go's errors of type. The last is the panic for a key that is a byte string.
var typeErrors = []string{"no such overload", "unsupported", "expected iterable type", "hash of unhashable type"}

// kindOf classifies an error of cel-go's. It looks at the text, which may contain values, and drops it.
func kindOf(err error) Kind {
	var ours failure
	if errors.As(err, &ours) {
		return Kind(ours)
	}
	text := err.Error()
	for _, t := range typeErrors {
		if strings.Contains(text, t) {
			return KindType
		}
	}
	var celErr *types.Err
	if !errors.As(err, &celErr) {
		return KindInternal
	}
	return KindInput
}

// encode appends v to the output within the limits of the expression and of the request.
func (st *state) encode(v ref.Val) (ValueKind, Kind) {
	start := len(st.enc.out)
	st.enc.err = KindNone
	st.enc.limit = start + min(st.e.limits.Output, st.outputLeft)
	kind := JSON
	if s, ok := v.(types.String); ok {
		kind = String
		st.enc.raw(string(s))
	} else {
		st.enc.value(v, 0)
	}
	return kind, st.enc.err
}

// ResolveName implements cel-go's Activation. Only the free names of the current expression exist.
func (st *state) ResolveName(name string) (any, bool) {
	if i, ok := slices.BinarySearch(st.current.prog.vars, name); ok {
		return st.value(st.current.sources[i]), true
	}
	return nil, false
}

// Parent implements cel-go's Activation.
func (st *state) Parent() interpreter.Activation { return nil }

// value returns a variable. A field's string aliases the caller's bytes.
func (st *state) value(s source) ref.Val {
	switch {
	case s.null:
		return types.NullValue
	case s.expression:
		return st.results[s.index]
	}
	if st.values[s.index] == nil {
		if f := &st.fields[s.index]; f.Null {
			st.values[s.index] = types.NullValue
		} else {
			st.values[s.index] = types.String(stringOf(f.Value))
		}
	}
	return st.values[s.index]
}
