package engine

import (
	"errors"
	"time"

	"redoubt/enclave/internal/expr"
	"redoubt/wire"
	"redoubt/wire/session"
)

// resultOverhead bounds what a result takes beside its value, headOverhead what an answer takes beside its results.
const (
	resultOverhead = 12
	headOverhead   = 16
)

// finish encodes and answers a request, after every field was tried and every expression evaluated.
func (j *job) finish() {
	if j.reseal != nil {
		j.answerReseal()
		return
	}
	lost := j.lost()
	if lost && j.reply == nil {
		j.fail(wire.DecryptFailed, 0)
		return
	}
	if len(j.exprs) > 0 {
		if len(j.spans) != len(j.exprs) {
			j.fail(wire.BadRequest, 0)
			return
		}
		j.countExpressions()
	}
	if j.reply != nil {
		j.answerSealed(lost)
	} else {
		j.answerPlain()
	}
}

// lost reports that there are fields and none could be opened.
func (j *job) lost() bool {
	for i := range j.fields {
		if j.fields[i].state == opened {
			return false
		}
	}
	return len(j.fields) > 0
}

// idle reports that there is nothing to do for the expressions. The expressions of a sealed answer are evaluated also
// when no field opened, so that neither its time nor its access report shows this.
func (j *job) idle() bool {
	return len(j.exprs) == 0 || j.reply == nil && j.lost()
}

// variables makes the fields the variables of the expressions. Their names are as the caller wrote them.
func (j *job) variables() {
	j.vars = j.vars[:0]
	for i := range j.fields {
		f := &j.fields[i]
		j.vars = append(j.vars, expr.Field{Name: j.req.Fields[i].Name, Value: f.plain, Null: f.state != opened})
	}
}

// countExpressions counts the evaluated expressions, once for each request. Evaluations that the reader gave up are
// not counted.
func (j *job) countExpressions() {
	j.bad = 0
	for i := range j.spans {
		if j.spans[i].Err != expr.KindNone {
			j.bad++
		}
	}
	j.e.stats.Add(wire.StatExpressionsEvaluated, int64(len(j.spans)))
	if j.bad > 0 && j.reply == nil {
		j.countFailures()
	}
	j.stage(wire.StageExpression)
}

// shown reports whether field i is in the answer. In a plain answer a field that failed always is, without a value,
// so that the caller learns why an expression over it failed. In a sealed answer it is not: the number of results
// would show the failure.
func (j *job) shown(i int) bool {
	switch f := &j.fields[i]; {
	case f.hidden:
		return false
	case f.state != opened && j.reply == nil || j.req.Compat:
		return true
	case j.req.IncludeMode == wire.IncludeListed:
		return j.req.Fields[i].Include
	}
	return len(j.exprs) == 0
}

// fieldResult is the outcome of field i.
func (j *job) fieldResult(i int) wire.Result {
	r := wire.Result{Kind: wire.ResultField, Index: uint16(i)}
	if f := &j.fields[i]; f.state == opened {
		r.ValueKind, r.Value = wire.ValueString, f.plain
	} else {
		r.Code = wire.DecryptFailed
	}
	return r
}

// expressionResult is the outcome of expression i.
func (j *job) expressionResult(i int) wire.Result {
	r := wire.Result{Kind: wire.ResultExpression, Index: uint16(i)}
	s := j.spans[i]
	switch {
	case s.Err == expr.KindDeadline:
		r.Code = wire.DeadlineExceeded
	case s.Err == expr.KindInternal:
		r.Code = wire.Internal
	case s.Err != expr.KindNone || s.Kind == expr.Absent:
		r.Code = wire.ExpressionFailed
	case s.Kind == expr.String:
		r.ValueKind, r.Value = wire.ValueString, j.results[s.Start:s.End]
	default:
		r.ValueKind, r.Value = wire.ValueJSON, j.results[s.Start:s.End]
	}
	return r
}

// answerPlain answers with the values as they are.
func (j *job) answerPlain() {
	failures := j.failures()
	n, size := len(j.exprs), headOverhead+len(j.exprs)*resultOverhead+len(j.results)+wire.FailuresSize(len(failures))
	for i := range j.fields {
		if j.shown(i) {
			n, size = n+1, size+resultOverhead+len(j.fields[i].plain)
		}
	}
	if j.req.ReportAccess {
		size += wire.AccessSize(len(j.report()))
	}
	out := wire.AppendResponseHead(j.to.Buffer(size), wire.OK, 0, n)
	for i := range j.fields {
		if j.shown(i) {
			out = wire.AppendResult(out, j.fieldResult(i))
		}
	}
	for i := range j.exprs {
		out = wire.AppendResult(out, j.expressionResult(i))
	}
	out = wire.AppendFailures(out, failures)
	if j.req.ReportAccess {
		out = wire.AppendAccess(out, j.reads)
	}
	j.send(wire.KindDecrypted, out)
}

// report gathers the access report. It comes from the plan, and so depends on names and sources, not on values.
func (j *job) report() []wire.FieldRead {
	j.reads = j.reads[:0]
	if j.plan == nil {
		return j.reads
	}
	for _, r := range j.plan.Reads() {
		j.reads = append(j.reads, wire.FieldRead{
			Expression: uint16(r.Expression), Field: uint16(r.Field), Raw: r.Raw,
		})
	}
	return j.reads
}

// send answers with an encoded message, which the session wipes.
func (j *job) send(kind wire.Kind, out []byte) {
	j.stage(wire.StageEncode)
	if len(out) > wire.MaxBody {
		clear(out)
		j.fail(wire.BadRequest, 0)
		return
	}
	if !j.answer() {
		clear(out)
		return
	}
	switch err := j.to.Send(kind, out); {
	case err == nil:
	case errors.Is(err, session.ErrQueueFull):
		j.e.stats.failure(wire.Overloaded)
	default:
		// The answer is too large for this parent: say so. In every other case the session has ended, and Fail does
		// nothing.
		clear(out)
		_ = j.to.Fail(wire.BadRequest, 0)
	}
	j.e.stats.Observe(wire.StageTotal, time.Since(j.arrived))
	j.e.ended()
}
