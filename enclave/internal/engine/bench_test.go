package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/session"
)

// direct feeds an engine without a session: its Responder answers nothing, so that what is counted is the engine's.
type direct struct {
	engine *Engine
	origin Origin
	body   []byte
	key    keys.Key
	room   []byte
	names  [][]byte
	blobs  []sealed.Blob
}

func (d *direct) run() {
	now := time.Now()
	r := session.Request{Kind: wire.KindDecrypt, Arrived: now, Deadline: now.Add(time.Minute), Body: d.body}
	d.engine.Request(&r, &d.origin)
}

// open does nothing but open the fields.
func (d *direct) open() {
	for i := range d.blobs {
		if _, ok, err := d.key.OpenCached(d.room, d.names[i], d.blobs[i]); !ok || err != nil {
			panic("not cached")
		}
	}
}

// hot returns a request of which everything is cached.
func hot(tb testing.TB, e sealed.Encoding, fields int, expression string) *direct {
	w := newWorld(tb, options{})
	v := w.vault("v_1", sealed.P384, true)
	values, names := map[string]string{}, []string{}
	for i := range fields {
		names = append(names, fmt.Sprintf("field_%d", i))
		values[names[i]] = "a plaintext of some length"
	}
	q := v.request(e, w.seal(v, e, values), names...)
	if expression != "" {
		q.AddExpression([]byte("x"), []byte(expression))
	}
	for range 20 {
		if _, code := w.do(q); code != wire.OK {
			tb.Fatal(code)
		}
	}
	key, err := w.cache.Get(context.Background(), &keys.Request{
		Suite: v.suite, KeyContext: true, KeyARN: keyARN, VaultID: []byte(v.id), Wrapped: []byte(v.wrapped),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(key.Release)
	d := &direct{engine: w.engine, body: q.Append(nil), key: key, room: make([]byte, 0, 64)}
	for _, f := range q.Fields {
		blob, err := sealed.ParseBlob(v.suite, e, f.Blob)
		if err != nil {
			tb.Fatal(err)
		}
		d.names, d.blobs = append(d.names, f.Name), append(d.blobs, blob)
	}
	return d
}

// TestHotPathAllocations holds the design's targets: at most four allocations for each request in the enclave, AEAD set-up counted
// apart. What opening the fields from their cached contexts allocates is measured by itself, and subtracted. Under the
// race detector a sync.Pool drops a quarter of what is put back, so that jobs are made anew; the limit then is wider.
func TestHotPathAllocations(t *testing.T) {
	limit := 4.0
	if proctest.Race {
		limit = 16
	}
	for _, fields := range []int{1, 10} {
		for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
			d := hot(t, e, fields, "")
			all, open := testing.AllocsPerRun(1000, d.run), testing.AllocsPerRun(1000, d.open)
			t.Logf("encoding %d, %d fields: %.1f allocations, of which opening %.1f", e, fields, all, open)
			if all-open > limit {
				t.Errorf("%.1f allocations beside those of opening, at most %.0f", all-open, limit)
			}
			if n, _ := d.engine.InFlight(); n != 0 {
				t.Errorf("%d requests left", n)
			}
		}
	}
}

// BenchmarkHot is a request of which everything is cached, without a session.
func BenchmarkHot(b *testing.B) {
	for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		for _, fields := range []int{1, 10} {
			for name, x := range map[string]string{"": "", "+expression": "field_0.to_uppercase()"} {
				b.Run(fmt.Sprintf("encoding=%d/fields=%d%s", e, fields, name), func(b *testing.B) {
					d := hot(b, e, fields, x)
					b.ReportAllocs()
					for b.Loop() {
						d.run()
					}
				})
			}
		}
	}
}

// BenchmarkSession is a hot request through a real session on a unix socket, one at a time.
func BenchmarkSession(b *testing.B) {
	w := newWorld(b, options{})
	v := w.vault("v_1", sealed.P384, true)
	q := v.request(3, w.seal(v, 3, map[string]string{"a": "a plaintext of some length"}), "a")
	w.do(q)
	body := q.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		c := w.client.NewCall()
		c.Body = append(c.Body, body...)
		if err := w.client.Do(context.Background(), c); err != nil {
			b.Fatal(err)
		}
		c.Release()
	}
}

// BenchmarkCold opens fields whose context is not cached, spread over the workers.
func BenchmarkCold(b *testing.B) {
	for _, fields := range []int{1, 10} {
		for _, e := range []sealed.Encoding{2, 3} {
			b.Run(fmt.Sprintf("encoding=%d/fields=%d", e, fields), func(b *testing.B) {
				w := newWorld(b, options{})
				v := w.vault("v_1", sealed.P384, true)
				values, names := map[string]string{}, []string{}
				for i := range fields {
					names = append(names, fmt.Sprintf("field_%d", i))
					values[names[i]] = "a plaintext of some length"
				}
				w.do(v.request(e, w.seal(v, e, values), names...))
				bodies := make([][]byte, 200)
				for i := range bodies {
					bodies[i] = v.request(e, w.seal(v, e, values), names...).Append(nil)
				}
				d := &direct{engine: w.engine}
				runtime.GC()
				i := 0
				for b.Loop() {
					if i%len(bodies) == 0 {
						b.StopTimer()
						w.forgetContexts(v)
						b.StartTimer()
					}
					d.body = bodies[i%len(bodies)]
					i++
					d.run()
					for d.engine.inFlight.Load() > 0 {
						runtime.Gosched()
					}
				}
			})
		}
	}
}

// forgetContexts empties the caches and fetches the vault's key again.
func (w *world) forgetContexts(v *vault) {
	w.cache.PurgeAll()
	blobs := w.seal(v, 3, map[string]string{"a": "1"})
	if _, code := w.do(v.request(3, blobs, "a")); code != wire.OK {
		w.tb.Fatal(code)
	}
}

// BenchmarkOverload offers cold encoding-2 work at three times what the workers can do, and reports what is answered in
// relation to the peak, and how fast the rest is refused.
func BenchmarkOverload(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	w := newWorld(b, options{workers: workers.Config{Workers: 1, Target: [2]time.Duration{20 * time.Millisecond}}})
	v := w.vault("v_1", sealed.P384, true)
	qs := make([]*wire.DecryptRequest, 4000)
	for i := range qs {
		qs[i] = v.request(2, w.seal(v, 2, map[string]string{"a": "1"}), "a")
	}
	var peak, goodput float64
	var refused []time.Duration
	for b.Loop() {
		w.forgetContexts(v)
		peak, _ = w.load(qs[:800], 0)
		w.forgetContexts(v)
		goodput, refused = w.load(qs[800:], time.Duration(float64(time.Second)/peak/3))
	}
	b.ReportMetric(peak, "peak/s")
	b.ReportMetric(goodput/peak, "goodput/peak")
	if len(refused) > 0 {
		b.ReportMetric(float64(median(refused).Microseconds()), "refused-p50-us")
		b.ReportMetric(float64(quantile(refused, 0.99).Microseconds()), "refused-p99-us")
	}
}

// load makes the requests, one each interval, or 20 at a time without one. It returns the answers per second and how
// long the refusals took.
func (w *world) load(qs []*wire.DecryptRequest, interval time.Duration) (rate float64, refused []time.Duration) {
	var (
		mu sync.Mutex
		ok int
		wg sync.WaitGroup
	)
	slots := make(chan struct{}, 20)
	begun := time.Now()
	for i, q := range qs {
		if interval == 0 {
			slots <- struct{}{}
		}
		for time.Since(begun) < time.Duration(i)*interval {
			time.Sleep(interval / 2)
		}
		sent := time.Now()
		wg.Go(func() {
			_, code := w.do(q)
			took := time.Since(sent)
			if interval == 0 {
				<-slots
			}
			mu.Lock()
			defer mu.Unlock()
			if code == wire.OK {
				ok++
			} else {
				refused = append(refused, took)
			}
		})
	}
	wg.Wait()
	return float64(ok) / time.Since(begun).Seconds(), refused
}
