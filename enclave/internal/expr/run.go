package expr

import "time"

// Run is [Plan.Eval] in slices, for a caller that has other work to do in between. It is not safe for concurrent use.
type Run struct {
	plan    *Plan
	st      *state // nil when there is nothing to evaluate, and after End
	out     []byte
	results []Result
	mine    []Result // the part of results that this evaluation fills
	next    int      // place in plan.order
}

// Start begins an evaluation. What Eval says of its arguments holds until End.
func (p *Plan) Start(fields []Field, deadline time.Time, out []byte, results []Result) *Run {
	base := len(results)
	for i := range p.exprs {
		results = append(results, Result{Err: p.exprs[i].err})
	}
	r := &Run{plan: p, out: out, results: results, mine: results[base:]}
	st, _ := p.e.states.Get().(*state)
	if len(fields) != p.fields || st.tracker == nil {
		fail(r.mine, KindInternal)
		return r
	}
	r.st = st
	st.begin(p, fields, deadline, out)
	st.requestEnd = st.tracker.ActualCost() + uint64(p.e.limits.RequestCost)
	return r
}

// Slice evaluates until it has spent units, and then until the current expression ends. It reports whether there is
// more to do.
func (r *Run) Slice(units int) (more bool) {
	if r.st == nil {
		return false
	}
	stop := r.st.left() - min(r.st.left(), uint64(units))
	for ; r.next < len(r.plan.order) && (r.st.left() > stop || stop == 0); r.next++ {
		if i := r.plan.order[r.next]; r.mine[i].Err == KindNone {
			r.mine[i] = r.st.run(r.plan, i, r.mine)
		}
	}
	return r.next < len(r.plan.order)
}

// End returns what Eval returns. An expression that was not reached has neither a value nor an error. So call End
// before Slice has returned false only to give the evaluation up.
func (r *Run) End() ([]byte, []Result) {
	if r.st != nil {
		r.out = r.st.end()
		r.plan.e.states.Put(r.st)
		r.st = nil
	}
	return r.out, r.results
}

// left is how many units the request may still spend.
func (st *state) left() uint64 { return st.requestEnd - min(st.requestEnd, st.tracker.ActualCost()) }
