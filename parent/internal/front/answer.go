package front

import (
	"strconv"
	"sync"

	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
)

// answer turns an enclave's response into JSON. It is reusable, and keeps nothing of a response after reset.
type answer struct {
	msg    wire.DecryptResponse
	fields [wire.MaxFields]*wire.Result
	exprs  [wire.MaxExpressions]*wire.Result
	failed int // fields that could not be opened
}

var answers = sync.Pool{New: func() any { return new(answer) }}

func newAnswer() *answer { return answers.Get().(*answer) } //nolint:forcetypeassert // the pool's only type

func (a *answer) release() {
	a.reset()
	answers.Put(a)
}

func (a *answer) reset() {
	a.msg.Reset()
	clear(a.fields[:])
	clear(a.exprs[:])
	a.failed = 0
}

// missing takes the place of a result that the enclave did not send.
var missing = &wire.Result{Code: wire.Internal}

// read decodes the body of an answer to r, and borrows from it. The fault is what the caller gets instead of results.
func (a *answer) read(r *request, body []byte) *fault {
	a.reset()
	if a.msg.Decode(body) != nil {
		return faultOf(wire.Internal, 0)
	}
	if a.msg.Code != wire.OK {
		return faultOf(a.msg.Code, a.msg.RetryAfterMS)
	}
	for i := range a.msg.Results {
		res := &a.msg.Results[i]
		switch {
		case res.Kind == wire.ResultField && int(res.Index) < len(r.fields) && a.fields[res.Index] == nil:
			a.fields[res.Index] = res
			if res.Code != wire.OK {
				a.failed++
			}
		case res.Kind == wire.ResultExpression && int(res.Index) < len(r.exprs) && a.exprs[res.Index] == nil:
			a.exprs[res.Index] = res
		default:
			return faultOf(wire.Internal, 0)
		}
		if (res.ValueKind == wire.ValueSealed) != r.sealedReply() {
			// Plaintext is never released where a sealed value was asked for. Nor does an answer say in the clear
			// which result has no value.
			return faultOf(wire.Internal, 0)
		}
	}
	if !a.readsExist(r) {
		return faultOf(wire.Internal, 0)
	}
	if a.failed > 0 && a.failed == len(r.fields) {
		return faultUndecryptable
	}
	return nil
}

// field is the result for field i. It is nil if it is not to be shown.
func (a *answer) field(r *request, i int) *wire.Result {
	res := a.fields[i]
	if res == nil && r.wanted(i) {
		return missing
	}
	return res
}

func (a *answer) expr(i int) *wire.Result {
	if a.exprs[i] == nil {
		return missing
	}
	return a.exprs[i]
}

// each calls visit for every result in the order of names. An expression replaces a field of its name. shown says
// whether the name has a place among the values.
func (a *answer) each(r *request, visit func(name []byte, res *wire.Result, shown bool)) {
	for i, j := 0, 0; i < len(r.fields) || j < len(r.exprs); {
		order := -1
		if i == len(r.fields) {
			order = 1
		} else if j < len(r.exprs) {
			order = byName(r.fields[i], r.exprs[j])
		}
		if order >= 0 {
			res := a.expr(j)
			visit(r.exprs[j].name, res, res.Code != wire.OK || res.ValueKind != wire.ValueAbsent)
			j++
		}
		if order == 0 {
			i++
		}
		if order < 0 {
			if res := a.field(r, i); res != nil {
				failed := res.Code != wire.OK && r.wanted(i)
				visit(r.fields[i].name, res, failed || res.ValueKind != wire.ValueAbsent)
			}
			i++
		}
	}
}

// values appends the members of an object: every value in the order of names, null where one failed.
func (a *answer) values(dst *buffer, r *request, sealed bool) {
	dst.text("{")
	first := true
	a.each(r, func(name []byte, res *wire.Result, shown bool) {
		if !shown || sealed && res.Code != wire.OK {
			return
		}
		if !first {
			dst.text(",")
		}
		first = false
		dst.str(name)
		dst.text(":")
		switch {
		case res.Code != wire.OK || res.ValueKind == wire.ValueAbsent:
			dst.text("null")
		case res.ValueKind == wire.ValueString:
			dst.str(res.Value)
		case res.ValueKind == wire.ValueJSON:
			dst.raw(res.Value)
		default:
			dst.base64(res.Value)
		}
	})
	dst.text("}")
}

// Beside its name and value, a result takes at most resultRoom bytes of an answer, and an answer takes at most
// answerRoom. What the enclave says of a failed expression comes in addition: at most wire.MaxProblem.
const (
	resultRoom = 160
	answerRoom = 64
)

// size bounds what reference and v1 append. An answer that is small whatever it holds is not examined.
func (a *answer) size(r *request, encoded int) int {
	results := len(r.fields) + len(r.exprs)
	n := answerRoom + results*resultRoom + len(a.msg.Failures)*wire.MaxProblem + a.accessSize(r)
	for i := range r.fields {
		n += 2 * jsonscan.MaxEscaped * len(r.fields[i].name)
	}
	for i := range r.exprs {
		n += 2 * jsonscan.MaxEscaped * len(r.exprs[i].name)
	}
	if most := jsonscan.MaxEscaped * encoded; most <= roomUnseen {
		return n + most
	}
	for i := range a.msg.Results {
		switch res := &a.msg.Results[i]; res.ValueKind {
		case wire.ValueString:
			n += jsonscan.EscapedLen(res.Value)
		case wire.ValueSealed:
			n += strictBase64.EncodedLen(len(res.Value))
		default:
			n += len(res.Value)
		}
	}
	return n
}

// reference appends the answer of POST /decrypt: {"fields":{...},"errors":["[name] text",...]}.
func (a *answer) reference(dst *buffer, r *request) {
	dst.text(`{"fields":`)
	a.values(dst, r, false)
	dst.text(`,"errors":[`)
	first := true
	a.each(r, func(name []byte, res *wire.Result, _ bool) {
		if res.Code == wire.OK {
			return
		}
		if !first {
			dst.text(",")
		}
		first = false
		dst.text(`"[`)
		dst.inner(name)
		dst.text("] ")
		dst.text(res.Code.Text())
		dst.text(`"`)
	})
	dst.text("]}")
}

// v1 appends the members of an answer of /v1, without the outer braces, which a batch item shares with its status.
func (a *answer) v1(dst *buffer, r *request) {
	if r.sealedReply() {
		dst.text(`"fields":{},"sealed":`)
		a.values(dst, r, true)
	} else {
		dst.text(`"fields":`)
		a.values(dst, r, false)
	}
	dst.text(`,"errors":{`)
	first := true
	a.each(r, func(name []byte, res *wire.Result, _ bool) {
		if res.Code == wire.OK {
			return
		}
		if !first {
			dst.text(",")
		}
		first = false
		dst.str(name)
		dst.text(":")
		dst.problem(res.Code, a.failure(res))
	})
	dst.text("}")
	if r.msg.ReportAccess {
		dst.text(`,"access":`)
		a.access(dst, r)
	}
}

// failure is what the enclave says of a failed expression.
func (a *answer) failure(res *wire.Result) wire.Failure {
	for _, f := range a.msg.Failures {
		if f.Index == res.Index && res.Kind == wire.ResultExpression {
			return f
		}
	}
	return wire.Failure{}
}

// problem appends the reason why a field or an expression has no value.
func (b *buffer) problem(c wire.Code, f wire.Failure) {
	b.reserve(wire.MaxProblem)
	b.b = wire.AppendProblem(b.b, c, f)
}

// int appends a number.
func (b *buffer) int(n int) {
	b.reserve(20)
	b.b = strconv.AppendInt(b.b, int64(n), 10)
}
