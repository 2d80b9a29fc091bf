package front

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"redoubt/wire"
	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/jsonscan"
)

// drawAnswer makes a request, as decode would have read it, and an answer to it.
func drawAnswer(t *rapid.T) (*request, []byte) {
	name := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9_]{0,8}`), rapid.StringN(1, 20, wire.MaxName))
	value := rapid.OneOf(rapid.String(), rapid.StringMatching("[\x01\"\\\\]{0,900}"), rapid.Just(strings.Repeat("é\t", 2000)))
	r := &request{}
	var resp wire.DecryptResponse
	if rapid.Bool().Draw(t, "sealed") {
		r.msg.ReplyKey = []byte("key")
	}
	add := func(kind wire.ResultKind, i int) {
		res := wire.Result{Kind: kind, Index: uint16(i)}
		switch outcome := rapid.IntRange(0, 3).Draw(t, "outcome"); {
		case r.sealedReply(): // whatever became of it
			res.ValueKind, res.Value = wire.ValueSealed, []byte(value.Draw(t, "value"))
		case outcome == 0:
			res.Code = wire.Code(rapid.IntRange(1, wire.Codes-1).Draw(t, "code"))
		case outcome == 1: // absent
		default:
			res.Value = []byte(value.Draw(t, "value"))
			if res.ValueKind = wire.ValueString; rapid.Bool().Draw(t, "json") {
				res.ValueKind, res.Value = wire.ValueJSON, jsonscan.AppendString(nil, res.Value)
			}
		}
		resp.Add(res)
	}
	draw := func(what string) []string {
		return slices.Sorted(maps.Keys(rapid.MapOfN(name, rapid.Just(0), 1, 5).Draw(t, what)))
	}
	for i, n := range draw("fields") {
		r.fields = append(r.fields, entry{name: []byte(n)})
		r.msg.AddField([]byte(n), nil)
		add(wire.ResultField, i)
	}
	for i, n := range draw("expressions") {
		r.exprs = append(r.exprs, entry{name: []byte(n)})
		add(wire.ResultExpression, i)
		if rapid.Bool().Draw(t, "told") {
			resp.Failures = append(resp.Failures, wire.Failure{
				Index: uint16(i), Kind: wire.ExpressionUnknownFunction, Line: math.MaxUint32, Column: math.MaxUint32,
			})
		}
	}
	return r, resp.Append(nil)
}

func TestAnAnswerIsNeverLargerThanTheRoomThatWasClaimedForIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, body := drawAnswer(t)
		a := newAnswer()
		defer a.release()
		if a.read(r, body) != nil {
			return // all fields failed
		}
		size := a.size(r, len(body))
		var old, current buffer
		a.v1(&current, r)
		if len(current.b) > size {
			t.Fatalf("/v1 appended %d bytes, said %d", len(current.b), size)
		}
		if a.reference(&old, r); !r.sealedReply() && len(old.b) > size {
			t.Fatalf("the reference's answer has %d bytes, said %d", len(old.b), size)
		}
	})
}

func TestLargeAnswersComeOutOfABudgetAndGoBackToIt(t *testing.T) {
	from := budget.New(3 * smallAnswer)
	small, large, more := newBuffer(), newBuffer(), newBuffer()
	if !small.claim(from, smallAnswer) || from.Left() != 3*smallAnswer {
		t.Error("a small answer asks the budget")
	}
	if !large.claim(from, 2*smallAnswer) || cap(large.b) < 2*smallAnswer {
		t.Error("refused, or without its room")
	}
	if more.claim(from, 2*smallAnswer) || from.Left() != smallAnswer {
		t.Error("the budget is overdrawn")
	}
	for _, b := range []*buffer{small, large, more} {
		_ = b.Close()
	}
	if n := from.Left(); n != 3*smallAnswer {
		t.Errorf("%d bytes are left of %d", n, 3*smallAnswer)
	}
}

// TestManyEscapesDoNotMultiplyTheMemoryOfAnAnswer: room is made for what is appended, not for the worst of it.
func TestManyEscapesDoNotMultiplyTheMemoryOfAnAnswer(t *testing.T) {
	for _, value := range []string{strings.Repeat("a", 1<<20), base64.StdEncoding.EncodeToString(make([]byte, 1<<20))} {
		b := &buffer{}
		b.str([]byte(value))
		if cap(b.b) > len(value)+len(value)/4 {
			t.Errorf("%d bytes take %d", len(value), cap(b.b))
		}
	}
}
