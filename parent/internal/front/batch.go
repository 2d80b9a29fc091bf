package front

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"redoubt/wire"
	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/jsonscan"
	"redoubt/wire/session"
)

// batchItem is one item's bytes, its request while that is under way, and its answer.
type batchItem struct {
	body   []byte
	values int // in the body
	job    *job
	out    *buffer
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
	run := batchRun{s: s, items: items, deadline: x.start.Add(s.o.BatchTimeout), room: budget.New(maxBatchAnswer)}
	if n := run.all(); n > 0 {
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

// batchRun sends the items of a batch and takes their answers. Each of its goroutines has many items under way: one
// for each item would have to be woken for the answer, and would grow a stack of its own.
type batchRun struct {
	s        *Server
	items    []batchItem
	deadline time.Time
	room     *budget.Budget // what is left for the answers of the batch
	next     atomic.Int64
	panicked atomic.Int64
}

// all answers all items and returns how many of them panicked.
func (b *batchRun) all() (panicked int64) {
	most := min(b.s.o.BatchFanOut, len(b.items))
	goroutines := min(runtime.GOMAXPROCS(0), most)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() { b.some((most + i) / goroutines) })
	}
	wg.Wait()
	return b.panicked.Load()
}

// some answers items until none is left, at most most at a time.
func (b *batchRun) some(most int) {
	done := make(chan *session.Call, most)
	for underWay := 0; ; {
		for underWay < most {
			i := int(b.next.Add(1)) - 1
			if i >= len(b.items) {
				most = 0
			} else if b.begin(&b.items[i], done) {
				underWay++
			}
		}
		if underWay == 0 {
			return
		}
		call := <-done
		if call == nil || call.Err() == nil {
			underWay--
		}
		if call == nil {
			continue
		}
		item := call.User.(*batchItem) //nolint:forcetypeassert // begin's
		if call.Err() == nil {
			b.end(item, call)
			continue
		}
		go func() { // the request may have to be sent once more
			b.end(item, call)
			done <- nil
		}()
	}
}

// begin sends an item's request. If it returns false, the item is answered.
func (b *batchRun) begin(item *batchItem, done chan<- *session.Call) bool {
	item.out = newBuffer()
	f := b.guarded(func() *fault {
		if b.room.Left() <= 0 {
			return faultAnswerSize
		}
		if item.values > maxValues {
			return notJSON(jsonscan.ErrValues)
		}
		item.job = newJob()
		if f := item.job.req.decodeChecked(item.body, v1); f != nil {
			return f
		}
		if err := b.s.o.Upstream.Start(item.job.req.ask(b.deadline, true), &item.job.req.msg, item, done); err != nil {
			return item.job.req.fault(err, RouteBatch)
		}
		return nil
	})
	if f != nil {
		b.answered(item, f)
	}
	return f == nil
}

// end appends the answer to an item: {"status":200,...} or {"status":403,"error":{...}}.
func (b *batchRun) end(item *batchItem, call *session.Call) {
	b.answered(item, b.guarded(func() *fault {
		req := &item.job.req
		call, err := b.s.o.Upstream.Finish(context.Background(), req.ask(b.deadline, true), &req.msg, call)
		if err != nil {
			return req.fault(err, RouteBatch)
		}
		defer call.Release()
		return b.write(item, call)
	}))
}

// write appends what the enclave answered.
func (b *batchRun) write(item *batchItem, call *session.Call) *fault {
	req, out := &item.job.req, item.out
	a := newAnswer()
	defer a.release()
	if f := a.read(req, call.Answer); f != nil {
		return f
	}
	size := a.size(req, len(call.Answer))
	if !b.room.Take(size) {
		return faultAnswerSize
	}
	if !out.claim(&b.s.answers, size) {
		b.room.Give(size)
		return faultOf(wire.Overloaded, 0)
	}
	out.text(`{"status":200,`)
	a.v1(out, req)
	out.text("}")
	b.room.Give(size - len(out.b))
	return nil
}

// guarded keeps a panic to its item. It runs on goroutines of the batch, where a panic would end the process.
func (b *batchRun) guarded(part func() *fault) (f *fault) {
	defer func() {
		if recover() != nil {
			f = faultOf(wire.Internal, 0)
			b.panicked.Add(1)
		}
	}()
	return part()
}

// answered ends an item, with an error if f is not nil.
func (b *batchRun) answered(item *batchItem, f *fault) {
	if item.job != nil {
		item.job.release()
		item.job = nil
	}
	if f == nil {
		b.s.o.Observer.BatchItem(200, "ok")
		return
	}
	b.s.o.Observer.BatchItem(f.status, f.code)
	out := item.out
	clear(out.b)
	out.b = out.b[:0]
	out.text(`{"status":`)
	out.int(f.status)
	out.text(`,"error":{"code":"`)
	out.text(f.code)
	out.text(`","message":"`)
	out.inner([]byte(f.text))
	out.text(`"`)
	out.domain(f)
	out.text(`}}`)
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
		left := s.Values
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
		items = append(items, batchItem{body: s.B[i:end], values: left - s.Values})
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
