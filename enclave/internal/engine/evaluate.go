package engine

import (
	"time"

	"redoubt/enclave/internal/workers"
)

// phase is what the units of a job do.
type phase uint8

const (
	opening    phase = iota
	compiling        // one expression each
	evaluating       // one slice
	resealed         // the new key, and all fields sealed to it
)

// inline evaluates the expressions, if any, on the reader. It returns false if they must be left to a worker. Past
// times of the same shape decide only whether the reader tries. They set no bound, since other values may take
// another way through an expression.
func (j *job) inline() bool {
	if j.reseal != nil {
		return false
	}
	if j.idle() {
		return true
	}
	j.variables()
	var ok bool
	if j.plan, ok = j.e.cfg.Expressions.Cached(j.vars, j.exprs); !ok || !j.e.costs.quick(j.plan) {
		return false
	}
	return j.try()
}

// try evaluates the expressions if that costs little.
func (j *job) try() bool {
	begun := time.Now()
	var ok bool
	j.results, j.spans, ok = j.plan.Try(inlineUnits, j.vars, j.deadline, j.results[:0], j.spans[:0])
	if !ok {
		j.e.costs.learn(j.plan, tooSlow)
		return false
	}
	j.e.costs.learn(j.plan, time.Since(begun))
	return true
}

// goOn queues the next part of the work on the expressions. It returns false if none is left. Long work is not done
// in the unit that opens fields, since admission estimates other requests' waits from that unit, and not in one go.
func (j *job) goOn() bool {
	if j.reseal != nil {
		return j.phase == opening && j.allOpened() && j.again(resealed, 1)
	}
	if j.idle() {
		return false
	}
	if j.phase == evaluating {
		return j.more && j.goOnEvaluating()
	}
	j.variables()
	if j.plan == nil && !j.prepare() {
		return j.phase == opening && j.again(compiling, len(j.exprs))
	}
	if j.plan == nil || (j.phase == opening && !j.e.costs.slow(j.plan) && j.try()) {
		return false
	}
	return j.again(evaluating, 1)
}

// prepare gets the plan. It returns false if so much is to be compiled that it should be queued first. A request of
// too many expressions has no plan.
func (j *job) prepare() bool {
	var ok bool
	if j.plan, ok = j.e.cfg.Expressions.Cached(j.vars, j.exprs); ok {
		return true
	}
	sources := 0
	for i := range j.exprs {
		sources += len(j.exprs[i].Source)
	}
	if sources > compileAtOnce && j.phase == opening {
		return false
	}
	plan, err := j.e.cfg.Expressions.Prepare(j.vars, j.exprs)
	if err == nil {
		j.plan = plan
	}
	return true
}

// again queues units of a phase, and returns true. From then on the job belongs to the workers.
func (j *job) again(next phase, units int) bool {
	kind := kindEvaluate
	switch next {
	case compiling:
		kind = kindCompile
	case resealed:
		kind = kindReseal + workers.Kind(j.reseal.suite)
	}
	j.phase = next
	j.handed.Store(true)
	j.e.cfg.Workers.Again(&j.Task, j, kind, units)
	return true
}

// slice evaluates expressions for one slice.
func (j *job) slice() {
	begun := time.Now()
	if j.eval == nil {
		j.variables()
		j.eval = j.plan.Start(j.vars, j.deadline, j.results[:0], j.spans[:0])
	}
	j.more = j.eval.Slice(sliceUnits)
	j.took += time.Since(begun)
	switch {
	case !j.more:
		j.endEvaluation()
		j.e.costs.learn(j.plan, j.took)
	case !j.placed && !j.e.begun.take(j, false):
		j.giveUp()
	}
}

// endEvaluation takes over what was evaluated so far.
func (j *job) endEvaluation() {
	if j.eval != nil {
		j.results, j.spans = j.eval.End()
		j.eval = nil
	}
}
