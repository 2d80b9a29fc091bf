package engine

import (
	"redoubt/enclave/internal/expr"
	"redoubt/wire"
)

// told are the kinds of failure that the names and sources of a request alone decide. Every other kind depends on
// values, if only on whether an operand was looked at. Such kinds are told neither to callers nor in the counters.
// That an expression depends on one that failed tells no more than the other's own result does.
var told = [...]wire.ExpressionKind{
	expr.KindLength:     wire.ExpressionTooLong,
	expr.KindCompile:    wire.ExpressionSyntax,
	expr.KindComplexity: wire.ExpressionTooComplex,
	expr.KindName:       wire.ExpressionUndeclaredName,
	expr.KindFunction:   wire.ExpressionUnknownFunction,
	expr.KindCycle:      wire.ExpressionCycle,
	expr.KindDependency: wire.ExpressionDependency,
}

func kindOf(k expr.Kind) wire.ExpressionKind {
	if int(k) < len(told) {
		return told[k]
	}
	return wire.ExpressionUntold
}

// failure says why expression i failed, as far as that may be told.
func (j *job) failure(i int) wire.Failure {
	f := wire.Failure{Index: uint16(i), Kind: kindOf(j.spans[i].Err)}
	if at := j.plan.Position(i); f.Kind != wire.ExpressionUntold {
		f.Line, f.Column = at.Line, at.Column
	}
	return f
}

// failures lists the failures of all expressions, if the parent reads them.
func (j *job) failures() []wire.Failure {
	if j.bad == 0 || !j.to.Features().Has(wire.FeatureExpressionKinds) {
		return nil
	}
	out := make([]wire.Failure, 0, j.bad)
	for i := range j.spans {
		if f := j.failure(i); f.Kind != wire.ExpressionUntold {
			out = append(out, f)
		}
	}
	return out
}

// countFailures counts expressions that failed, by kind.
func (j *job) countFailures() {
	j.e.stats.Add(wire.StatExpressionsFailed, int64(j.bad))
	for i := range j.spans {
		if k := j.spans[i].Err; k != expr.KindNone {
			j.e.stats.Count(kindOf(k).Stat())
		}
	}
}
