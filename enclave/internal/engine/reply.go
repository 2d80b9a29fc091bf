package engine

import (
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
	"redoubt/wire/kit/secret"
)

// answerSealed seals each requested result to the caller's key, all under one encapsulation. A result that failed
// looks like one that did not. lost means that no field opened, so that no result has a value.
func (j *job) answerSealed(lost bool) {
	results := j.replyResults(lost)
	bodies := make(map[string][]byte, len(results))
	defer func() {
		for _, b := range bodies {
			secret.Wipe(b)
		}
	}()
	names := make([]string, len(results))
	size := headOverhead
	for i := range results {
		names[i] = j.replyName(&results[i])
		body := j.replyBody(&results[i])
		bodies[names[i]] = body
		size += resultOverhead + 1 + j.reply.Suite().EncSize() + len(body) + sealed.TagSize
	}
	if size > wire.MaxBody {
		j.fail(wire.BadRequest, 0)
		return
	}
	blobs, err := sealed.SealRecord(j.reply.Suite(), j.reply, reply.Info(string(j.req.VaultID)), bodies)
	if err != nil {
		j.fail(wire.Internal, 0)
		return
	}
	for i := range results {
		r := &results[i]
		*r = wire.Result{Kind: r.Kind, Index: r.Index, ValueKind: wire.ValueSealed, Value: blobs[names[i]]}
	}
	j.e.stats.Count(wire.StatSealedReplies)
	m := wire.DecryptResponse{Results: results}
	if m.AccessReported = j.req.ReportAccess; m.AccessReported {
		m.Reads = j.report()
		size += wire.AccessSize(len(m.Reads))
	}
	j.send(wire.KindDecrypted, m.Append(j.to.Buffer(size)))
}

// replyResults gathers the requested results.
func (j *job) replyResults(lost bool) []wire.Result {
	results := make([]wire.Result, 0, len(j.fields)+len(j.exprs))
	for i := range j.fields {
		if j.shown(i) {
			results = append(results, j.fieldResult(i))
		}
	}
	for i := range j.exprs {
		if lost {
			results = append(results, wire.Result{
				Kind: wire.ResultExpression, Index: uint16(i), Code: wire.DecryptFailed,
			})
			continue
		}
		results = append(results, j.expressionResult(i))
	}
	return results
}

// replyName is the name under which a result is sealed, in lower case. parseReply has checked it.
func (j *job) replyName(r *wire.Result) string {
	if r.Kind == wire.ResultField {
		return string(j.fields[r.Index].name)
	}
	name, _ := sealed.AppendLower(nil, j.req.Expressions[r.Index].Name)
	return string(name)
}

// replyBody is the body that is sealed for a result. It has memory of its own, of the right size from the start.
func (j *job) replyBody(r *wire.Result) []byte {
	t, value := reply.JSON, r.Value
	switch {
	case r.Code == wire.ExpressionFailed:
		t, value = reply.Problem, wire.AppendProblem(nil, r.Code, j.failure(int(r.Index)))
	case r.Code != wire.OK:
		t, value = reply.Problem, wire.AppendProblem(nil, r.Code, wire.Failure{})
	case r.ValueKind == wire.ValueString:
		t = reply.String
	}
	return reply.Append(make([]byte, 0, reply.Size(len(value))), t, value)
}
