package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/session"
)

// TestNoAnswerHoldsBytesOfAnotherRequest drives many callers with values of their own over two sessions, hot and cold,
// single and batch, with caches so small that keys and contexts come and go.
func TestNoAnswerHoldsBytesOfAnotherRequest(t *testing.T) {
	w := newWorld(t, options{keys: smallCache()})
	second, server := w.connect(w.handler, session.ClientConfig{})
	t.Cleanup(func() { _ = second.Close(); _ = server.Close() })
	var wg sync.WaitGroup
	for i := range 16 {
		v := w.vault(fmt.Sprintf("v_%02d", i), sealed.P256, true)
		client := w.client
		if i%2 == 1 {
			client = second
		}
		wg.Go(func() { w.caller(client, v, i) })
	}
	wg.Wait()
	settled(t, w)
	if n := w.engine.Stats().Get(wire.StatPanics); n != 0 {
		t.Errorf("%d panics", n)
	}
}

// caller makes requests of many shapes and checks that each value is its own.
func (w *world) caller(client *session.Client, v *vault, i int) {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	sentinel := func(n int) string { return fmt.Sprintf("caller %02d field %02d ", i, n) }
	for range 60 {
		e := sealed.Encoding(2 + rnd.IntN(2))
		fields, names := map[string]string{}, []string{}
		for n := range 1 + rnd.IntN(8) {
			name := fmt.Sprintf("f%d", n)
			names = append(names, name)
			fields[name] = sentinel(n) + string(bytes.Repeat([]byte{'x'}, rnd.IntN(300)))
		}
		q := v.request(e, w.seal(v, e, fields), names...)
		q.Compat = true
		if rnd.IntN(2) == 0 {
			q.AddExpression([]byte("e"), []byte("f0.to_uppercase()"))
		}
		for range 1 + rnd.IntN(3) {
			m, code := do(w.tb, client, q, func(c *session.Call) { c.Batch = rnd.IntN(2) == 0 })
			if code != wire.OK {
				w.tb.Errorf("caller %d: %v", i, code)
				return
			}
			w.checkOwn(q, m, fields)
		}
	}
}

func (w *world) checkOwn(q *wire.DecryptRequest, m *wire.DecryptResponse, fields map[string]string) {
	if len(m.Results) != len(q.Fields)+len(q.Expressions) {
		w.tb.Errorf("%d results", len(m.Results))
		return
	}
	for _, r := range m.Results {
		want := string(bytes.ToUpper([]byte(fields["f0"])))
		if r.Kind == wire.ResultField {
			want = fields[string(q.Fields[r.Index].Name)]
		}
		if string(r.Value) != want {
			w.tb.Errorf("got %q, want %q", r.Value, want)
		}
	}
}

// TestABatchOfColdFieldsDoesNotHoldUpSingles queues a thousand cold batch items and, while they are worked on, makes
// single requests, one after the other: hot ones, which need no worker, and cold ones, which get the next free worker
// but for the batch's share. What is counted is how many items of the batch are done meanwhile: time says little on a
// machine that does other things.
func TestABatchOfColdFieldsDoesNotHoldUpSingles(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3)) // one more than there are workers, as the enclave does
	w := newWorld(t, options{workers: workers.Config{Workers: 2}})
	v := w.vault("v_1", sealed.P384, true)
	hot := v.request(2, w.seal(v, 2, map[string]string{"a": "hot"}), "a")
	w.do(hot)
	cold := make([]*wire.DecryptRequest, 200)
	for i := range cold {
		cold[i] = v.request(2, w.seal(v, 2, map[string]string{"a": "cold"}), "a")
	}
	items := 1000
	if proctest.Race {
		items = 300 // sealing them is what takes long
	}
	finished := w.batch(v, items)
	queued := w.pool.Queued()
	var hots, colds []int
	for w.pool.Queued() > queued/4 && len(cold) > 0 {
		hots = append(hots, w.meanwhile(hot, "a=hot"))
		colds = append(colds, w.meanwhile(cold[0], "a=cold"))
		cold = cold[1:]
	}
	finished()
	if len(colds) < 5 {
		t.Fatalf("%d requests beside the batch: nothing was measured", len(colds))
	}
	t.Logf("items of the batch done during a request: hot p50 %d p99 %d, cold p50 %d p99 %d (%d requests)",
		median(hots), quantile(hots, 0.99), median(colds), quantile(colds, 0.99), len(colds))
	if m := median(hots); m > 4 {
		t.Errorf("%d items of the batch were done during a hot request", m)
	}
	if m := median(colds); m > 12 { // in order of arrival it would be hundreds
		t.Errorf("%d items of the batch were done during a cold request", m)
	}
}

// meanwhile makes a request and returns how many fields of others were opened until its answer came.
func (w *world) meanwhile(q *wire.DecryptRequest, result string) int {
	before := w.engine.Stats().Get(wire.StatFieldsOpened)
	m, code := w.do(q)
	others := w.engine.Stats().Get(wire.StatFieldsOpened) - before - 1
	want(w.tb, q, m, code, result)
	return int(others)
}

// batch sends n cold items on the batch lane; the function returned waits for their answers.
func (w *world) batch(v *vault, n int) func() {
	items := make([]*wire.DecryptRequest, n)
	for i := range items {
		items[i] = v.request(2, w.seal(v, 2, map[string]string{"b": "item"}), "b")
	}
	var wg sync.WaitGroup
	for _, q := range items {
		wg.Go(func() {
			m, code := w.do(q, func(c *session.Call) { c.Batch = true })
			want(w.tb, q, m, code, "b=item")
		})
	}
	eventually(w.tb, "the batch in the queue", func() bool { return w.pool.Queued() > n/2 })
	return wg.Wait
}

func median[T cmp.Ordered](d []T) T { return quantile(d, 0.5) }

func quantile[T cmp.Ordered](d []T, q float64) T {
	d = slices.Sorted(slices.Values(d))
	return d[int(q*float64(len(d)-1))]
}
