package front

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"redoubt/wire"
	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/jsonscan"
)

// batchItem is one item's bytes and, later, its answer.
type batchItem struct {
	body []byte
	out  *buffer
}

// batch answers POST /v1/decrypt/batch. Each item is a request of its own and gets its own status.
func (s *Server) batch(x *exchange) *fault {
	x.begin(partRead)
	body, taken, f := s.readBody(x.ctx, nil, MaxBatchBody)
	defer s.bodies.Give(taken)
	if f != nil {
		return f
	}
	items, f := split(body)
	if f != nil {
		return f
	}
	x.begin(partEnclave)
	deadline := x.start.Add(s.o.BatchTimeout)
	var next, panicked atomic.Int64
	room := budget.New(maxBatchAnswer)
	var wg sync.WaitGroup
	for range min(s.o.BatchFanOut, len(items)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) {
					return
				}
				items[i].out = newBuffer()
				if s.item(items[i].out, items[i].body, deadline, room) {
					panicked.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := panicked.Load(); n > 0 {
		id, traced := x.ids()
		s.o.Log.Error("batch items panicked", slog.Int64("items", n), id, traced)
	}
	x.begin(partWrite)
	return s.join(x.out, items)
}

// join appends the answers of all items, and closes them.
func (s *Server) join(out *buffer, items []batchItem) *fault {
	defer func() {
		for i := range items {
			_ = items[i].out.Close()
		}
	}()
	size := len(items) + 16
	for i := range items {
		size += len(items[i].out.b)
	}
	if !out.claim(&s.answers, size) {
		return faultOf(wire.Overloaded, 0)
	}
	out.text(`{"items":[`)
	for i := range items {
		if i > 0 {
			out.text(",")
		}
		out.raw(items[i].out.b)
	}
	out.text("]}")
	return nil
}

var faultAnswerSize = &fault{status: 413, code: codeBadRequest, text: "answer is too large: ask for fewer items"}

// item appends the answer to one item: {"status":200,...} or {"status":403,"error":{...}}. room is what is left for
// the answers of the batch.
func (s *Server) item(out *buffer, body []byte, deadline time.Time, room *budget.Budget) (panicked bool) {
	f, panicked := s.itemRecovered(out, body, deadline, room)
	if f == nil {
		s.o.Observer.BatchItem(200, "ok")
		return false
	}
	s.o.Observer.BatchItem(f.status, f.code)
	clear(out.b)
	out.b = out.b[:0]
	out.text(`{"status":`)
	out.int(f.status)
	out.text(`,"error":{"code":"`)
	out.text(f.code)
	out.text(`","message":"`)
	out.inner([]byte(f.text))
	out.text(`"}}`)
	return panicked
}

// itemRecovered keeps a panic to its item. It runs on a goroutine of its own, where a panic would end the process.
func (s *Server) itemRecovered(
	out *buffer, body []byte, deadline time.Time, room *budget.Budget,
) (f *fault, panicked bool) {
	defer func() {
		if recover() != nil {
			f, panicked = faultOf(wire.Internal, 0), true
		}
	}()
	if room.Left() <= 0 {
		return faultAnswerSize, false
	}
	j := newJob()
	defer j.release()
	if f := j.req.decode(body, v1); f != nil {
		return f, false
	}
	call, err := s.o.Upstream.Do(context.Background(), deadline, true, &j.req.msg)
	if err != nil {
		return upstreamFault(err, RouteBatch), false
	}
	defer call.Release()
	a := newAnswer()
	defer a.release()
	if f := a.read(&j.req, call.Answer); f != nil {
		return f, false
	}
	size := a.size(&j.req, len(call.Answer))
	if !room.Take(size) {
		return faultAnswerSize, false
	}
	if !out.claim(&s.answers, size) {
		room.Give(size)
		return faultOf(wire.Overloaded, 0), false
	}
	out.text(`{"status":200,`)
	a.v1(out, &j.req)
	out.text("}")
	room.Give(size - len(out.b))
	return nil, false
}

// split finds the items of {"items":[...]} without parsing them. Each item is checked by itself, so that a malformed
// one fails alone. The whole batch fails only if the items cannot be separated.
func split(body []byte) ([]batchItem, *fault) {
	if !utf8.Valid(body) {
		return nil, faultSyntax
	}
	s := jsonscan.Scanner{B: body, Values: maxBatchValues}
	i := jsonscan.SkipSpace(body, 0)
	if i >= len(body) || body[i] != '{' {
		return nil, unless(faultObject, body)
	}
	from := jsonscan.SkipSpace(body, i+1)
	if from < len(body) && body[from] == '}' {
		return nil, unless(faultItemsMissing, body)
	}
	i, err := s.Key(from)
	if err != nil {
		return nil, notJSON(err)
	}
	if !bytes.HasPrefix(body[from:], itemsKey) {
		return nil, unless(faultUnknownKey, body)
	}
	if i >= len(body) || body[i] != '[' {
		return nil, unless(faultItemsShape, body)
	}
	return itemsOf(&s, jsonscan.SkipSpace(body, i+1))
}

const maxBatchValues = maxValues * wire.MaxBatch

var itemsKey = []byte(`"items"`)

// unless returns f if the body is JSON.
func unless(f *fault, body []byte) *fault {
	if err := jsonscan.Check(body, maxBatchValues); err != nil {
		return notJSON(err)
	}
	return f
}

// itemsOf collects the members of the array whose first member begins at i. It checks that only the ends of the array
// and the object follow.
func itemsOf(s *jsonscan.Scanner, i int) ([]batchItem, *fault) {
	var items []batchItem
	for {
		end, err := s.Value(i)
		if err != nil {
			if len(items) == 0 && i < len(s.B) && s.B[i] == ']' {
				return nil, unless(faultItemsCount, s.B)
			}
			return nil, notJSON(err)
		}
		if len(items) == wire.MaxBatch {
			return nil, faultItemsCount
		}
		items = append(items, batchItem{body: s.B[i:end]})
		i = jsonscan.SkipSpace(s.B, end)
		if i < len(s.B) && s.B[i] == ',' {
			i = jsonscan.SkipSpace(s.B, i+1)
			continue
		}
		break
	}
	if i >= len(s.B) || s.B[i] != ']' {
		return nil, faultSyntax
	}
	i = jsonscan.SkipSpace(s.B, i+1)
	if i < len(s.B) && s.B[i] == ',' {
		if bytes.HasPrefix(s.B[jsonscan.SkipSpace(s.B, i+1):], itemsKey) {
			return nil, unless(faultTwice, s.B)
		}
		return nil, unless(faultUnknownKey, s.B)
	}
	if i >= len(s.B) || s.B[i] != '}' || jsonscan.SkipSpace(s.B, i+1) != len(s.B) {
		return nil, faultSyntax
	}
	return items, nil
}
