package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// FuzzRequest sends any body through the whole engine: it is answered, once, with a code or with results that decode
// and belong to the request, and nothing panics.
func FuzzRequest(f *testing.F) {
	w := newWorld(f, options{})
	v := w.vault("v_1", sealed.P256, true)
	reply := w.vault("reply", sealed.P256, true)
	for _, e := range []sealed.Encoding{2, 3} {
		q := v.request(e, w.seal(v, e, record), "ssn9", "dob", "first_name")
		f.Add(q.Append(nil), false)
		q.AddExpression([]byte("x"), []byte("first_name.to_uppercase()"))
		q.Fields[1].Include, q.IncludeMode = true, wire.IncludeListed
		f.Add(q.Append(nil), true)
		q.Compat, q.ReplySuite, q.ReplyKey = true, 1, reply.spki
		f.Add(q.Append(nil), false)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, body []byte, batch bool) {
		if len(body) > wire.MaxBody {
			return
		}
		panics := w.engine.Stats().Get(wire.StatPanics)
		c := w.client.NewCall()
		defer c.Release()
		c.Batch, c.Deadline = batch, time.Now().Add(10*time.Second)
		c.Body = append(c.Body, body...)
		err := w.client.Do(context.Background(), c)
		var lost *session.CallError
		if errors.As(err, &lost) {
			t.Fatalf("no answer: %v", err)
		}
		var q wire.DecryptRequest
		malformed := q.Decode(body) != nil
		if malformed != errors.Is(err, &wire.Error{Code: wire.BadRequest}) && malformed {
			t.Errorf("a malformed body was answered %v", err)
		}
		if err == nil {
			checkAnswer(t, &q, c.Answer)
		}
		if n := w.engine.Stats().Get(wire.StatPanics); n != panics {
			t.Error("a panic")
		}
	})
}

func checkAnswer(t *testing.T, q *wire.DecryptRequest, answer []byte) {
	t.Helper()
	var m wire.DecryptResponse
	if err := m.Decode(answer); err != nil {
		t.Fatalf("the answer does not decode: %v", err)
	}
	for _, r := range m.Results {
		n := len(q.Fields)
		if r.Kind == wire.ResultExpression {
			n = len(q.Expressions)
		}
		if int(r.Index) >= n {
			t.Errorf("a result for number %d of %d", r.Index, n)
		}
		if len(q.ReplyKey) > 0 && (r.ValueKind != wire.ValueSealed || r.Code != wire.OK) {
			t.Error("a result that is not sealed, in spite of a reply key")
		}
	}
}
