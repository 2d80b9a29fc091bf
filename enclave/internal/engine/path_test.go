package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// eventually polls until ok, for what another goroutine does soon.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatalf("%s did not come true", what)
}

// settled checks that nothing is left of requests that have been answered.
func settled(tb testing.TB, w *world) {
	tb.Helper()
	eventually(tb, "the end of all requests", func() bool {
		all, waiting := w.engine.InFlight()
		return all == 0 && waiting == 0 && w.engine.bytes.Load() == 0
	})
}

// simple makes a vault with one field, and the request for it.
func (w *world) simple(id string) *wire.DecryptRequest {
	w.tb.Helper()
	v := w.vault(id, sealed.P256, true)
	return v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, map[string]string{"f": id}), "f")
}

// plug keeps every worker of the pool busy until the returned function is called.
func plug(tb testing.TB, p *workers.Pool) func() {
	tb.Helper()
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for range p.Workers() {
		entered := make(chan struct{})
		wg.Go(func() { p.Do(workers.Single, kindEvaluate, func() { close(entered); <-gate }) })
		<-entered
	}
	return func() { close(gate); wg.Wait() }
}

func TestOneUnwrapServesAllWhoWait(t *testing.T) {
	w := newWorld(t, options{})
	gate := make(chan struct{})
	w.kms.gate = gate
	q := w.simple("v_1")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			m, code := w.do(q)
			want(t, q, m, code, "f=v_1")
		})
	}
	eventually(t, "fifty waiting", func() bool { _, n := w.engine.InFlight(); return n == 50 })
	close(gate)
	wg.Wait()
	if n := w.kms.asked.Load(); n != 1 {
		t.Errorf("KMS was asked %d times", n)
	}
	settled(t, w)
}

func TestAWaitForAKeyHoldsUpNobodyElse(t *testing.T) {
	w := newWorld(t, options{workers: workers.Config{Workers: 1}})
	hot := w.simple("v_hot")
	w.do(hot)
	gate := make(chan struct{})
	w.kms.set(func(f *fakeKMS) { f.gate = gate })
	slow := w.simple("v_slow")
	done := make(chan wire.Code, 1)
	go func() { _, code := w.do(slow); done <- code }()
	eventually(t, "one waiting", func() bool { _, n := w.engine.InFlight(); return n == 1 })
	m, code := w.do(hot)
	want(t, hot, m, code, "f=v_hot")
	cold := w.vault("v_hot2", sealed.P256, true) // public-key work goes on too: the worker is free
	w.kms.set(func(f *fakeKMS) { f.gate = nil })
	q := cold.request(2, w.seal(cold, 2, map[string]string{"a": "1"}), "a")
	m, code = w.do(q)
	want(t, q, m, code, "a=1")
	close(gate)
	if code := <-done; code != wire.OK {
		t.Errorf("the slow one: %v", code)
	}
}

func TestKeyErrorsAreTheRequestsErrors(t *testing.T) {
	w := newWorld(t, options{})
	for _, code := range []wire.Code{
		wire.KeyDenied, wire.KMSThrottled, wire.KMSUnavailable, wire.Unauthenticated, wire.Overloaded,
	} {
		w.kms.set(func(f *fakeKMS) { f.err = fmt.Errorf("secret text: %w", &wire.Error{Code: code}) })
		if _, got := w.do(w.simple("v_" + code.String())); got != code {
			t.Errorf("code %v, want %v", got, code)
		}
	}
	w.kms.set(func(f *fakeKMS) { f.err = errors.New("untyped") })
	if _, got := w.do(w.simple("v_untyped")); got != wire.Internal {
		t.Errorf("untyped error: %v, want internal", got)
	}
	settled(t, w)
}

func TestADeadlineEndsTheWaitForAKey(t *testing.T) {
	w := newWorld(t, options{})
	gate := make(chan struct{})
	w.kms.gate = gate
	q := w.simple("v_1")
	w.handler.before = func(r *session.Request) { r.Deadline = time.Now().Add(20 * time.Millisecond) }
	if _, code := w.do(q); code != wire.DeadlineExceeded {
		t.Errorf("code %v, want deadline_exceeded", code)
	}
	if n := w.engine.Stats().Get(wire.StatExpired); n != 1 {
		t.Errorf("%d expired", n)
	}
	w.handler.before = nil
	close(gate)
	m, code := w.do(q) // the shared unwrap outlived the one who began it
	want(t, q, m, code, "f=v_1")
	if n := w.kms.asked.Load(); n != 1 {
		t.Errorf("KMS was asked %d times", n)
	}
	settled(t, w)
}

func TestExpiredWorkIsDroppedUnopened(t *testing.T) {
	w := newWorld(t, options{})
	q := w.simple("v_1")
	w.do(q)
	before := w.engine.Stats().Get(wire.StatFieldsOpened)
	v := w.vault("v_2", sealed.P256, true)
	blobs := w.seal(v, 2, map[string]string{"a": "1", "b": "2"})
	k := keys.Request{Suite: v.suite, KeyContext: true, KeyARN: keyARN, VaultID: []byte(v.id), Wrapped: []byte(v.wrapped)}
	key, err := w.cache.Get(context.Background(), &k)
	if err != nil {
		t.Fatal(err)
	}
	key.Release()
	release := plug(t, w.pool)
	var deadline time.Time // from the request's arrival, and far enough for it to be queued before
	w.handler.before = func(r *session.Request) {
		deadline = time.Now().Add(time.Second)
		r.Deadline = deadline
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, code := w.do(v.request(2, blobs, "a", "b")); code != wire.DeadlineExceeded {
			t.Errorf("code %v, want deadline_exceeded", code)
		}
	}()
	eventually(t, "one queued", func() bool { return w.pool.Queued() == 1 })
	eventually(t, "the deadline", func() bool { return time.Since(deadline) > 0 })
	release()
	<-done
	settled(t, w)
	if n := w.engine.Stats().Get(wire.StatFieldsOpened); n != before {
		t.Errorf("%d fields were opened after the deadline", n-before)
	}
	if n := w.engine.Stats().Get(wire.StatExpired); n != 1 {
		t.Errorf("%d expired", n)
	}
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"by number": func(c *Config) { c.MaxWaiting = 8 },
		"by memory": func(c *Config) { c.MaxWaitingBytes = 100 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{change: change})
			gate := make(chan struct{})
			w.kms.gate = gate
			q := w.simple("v_1")
			codes := make(chan wire.Code, 100)
			for range 100 {
				go func() { _, code := w.do(q); codes <- code }()
			}
			n := 0
			for range 80 {
				if code := <-codes; code != wire.Overloaded {
					t.Fatalf("code %v", code)
				}
				n++
			}
			close(gate)
			ok := 0
			for range 20 {
				if code := <-codes; code == wire.OK {
					ok++
				}
			}
			if ok < 8 {
				t.Errorf("%d of those that were accepted succeeded", ok)
			}
			settled(t, w)
		})
	}
}

func TestLongQueuesRefuseByExpectedWait(t *testing.T) {
	w := newWorld(t, options{workers: workers.Config{
		Workers: 1, Target: [2]time.Duration{5 * time.Millisecond, time.Hour},
	}})
	v := w.vault("v_1", sealed.P384, true)
	q := v.request(2, w.seal(v, 2, map[string]string{"a": "1"}), "a")
	w.do(q) // the key is cached from here
	release := plug(t, w.pool)
	var refused, accepted int
	codes := make(chan wire.Code, 200)
	for i := range 200 {
		q := v.request(2, w.seal(v, 2, map[string]string{"a": "1"}), "a")
		batch := i%2 == 1
		go func() {
			_, code := w.do(q, func(c *session.Call) { c.Batch = batch })
			codes <- code
		}()
	}
	for range 85 { // 5 ms are some ten P-384 operations
		if code := <-codes; code != wire.Overloaded {
			t.Fatalf("code %v", code)
		}
		refused++
	}
	release()
	for range 115 {
		if <-codes == wire.OK {
			accepted++
		}
	}
	if accepted < 100 {
		t.Errorf("%d accepted; the batch has a target of its own and was to be accepted whole", accepted)
	}
	if n := w.engine.Stats().Get(wire.StatOverloaded); n < int64(refused) {
		t.Errorf("%d counted as overloaded", n)
	}
	settled(t, w)
}

func TestAPanicInAnyStageIsAnsweredAndTheProcessLives(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"key":        func(c *Config) { c.Keys = nil },
		"expression": func(c *Config) { c.Expressions = nil },
		"queue":      func(c *Config) { c.Workers = nil },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{}, 10)
			w := newWorld(t, options{change: func(c *Config) {
				change(c)
				c.Panicked = func() { told <- struct{}{} }
			}})
			q := w.simple("v_1")
			q.AddExpression([]byte("x"), []byte("1"))
			for range 3 {
				if _, code := w.do(q); code != wire.Internal {
					t.Errorf("code %v, want internal", code)
				}
				<-told
			}
			if n := w.engine.Stats().Get(wire.StatPanics); n != 3 {
				t.Errorf("%d panics counted", n)
			}
			settled(t, w)
		})
	}
}

func TestAPanicWhileOpeningIsAnsweredAndTheWorkerLives(t *testing.T) {
	w := newWorld(t, options{workers: workers.Config{Workers: 1}})
	q := w.simple("v_1")
	w.handler.instead = func(r *session.Request) {
		// A claim that is none: opening panics in a unit.
		j := &job{e: w.engine}
		w.engine.inFlight.Add(1)
		j.begin(r, &w.handler.origin)
		if j.parse(r.Own()) != wire.OK {
			t.Error("the request is malformed")
		}
		var err error
		if j.key, err = w.cache.Get(context.Background(), &j.keyReq); err != nil {
			t.Error(err)
		}
		j.keyed = true
		w.engine.admit(0)
		j.admitted = true
		release := w.occupy()
		j.queue()
		j.shares[0].Release()
		j.shares[0] = keys.Share{}
		release()
	}
	if _, code := w.do(q); code != wire.Internal {
		t.Errorf("code %v, want internal", code)
	}
	w.handler.instead = nil
	m, code := w.do(q)
	want(t, q, m, code, "f=v_1")
	if n := w.engine.Stats().Get(wire.StatPanics); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

func TestAPanicOfTheKeyServiceIsAnswered(t *testing.T) {
	w := newWorld(t, options{})
	w.kms.boom = true
	if _, code := w.do(w.simple("v_1")); code != wire.Internal {
		t.Errorf("code %v, want internal", code)
	}
	settled(t, w)
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	w := newWorld(t, options{})
	w.handler.before = func(r *session.Request) { r.Kind = wire.KindHello }
	if _, code := w.do(w.simple("v_1")); code != wire.BadRequest {
		t.Errorf("code %v, want bad_request", code)
	}
}
