package session

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
)

func TestDeadlineTravelsAndEndsTheCall(t *testing.T) {
	held := make(chan Request, 1)
	h := &handler{request: func(r *Request) { held <- *r }}
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	call := c.NewCall()
	call.Deadline = time.Now().Add(time.Second)
	err := c.Do(context.Background(), call)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrSentUnknown) || errors.Is(err, ErrNotSent) {
		t.Fatal(err)
	}
	r := <-held
	if left := r.Deadline.Sub(r.Arrived); left <= 0 || left > time.Second+time.Millisecond {
		t.Fatalf("the enclave was told of %v", left)
	}
	// The late answer is dropped, also when the Call is in use again.
	call.Deadline = time.Time{}
	done := make(chan *Call, 1)
	if err := c.Start(call, done); err != nil {
		t.Fatal(err)
	}
	second := <-held
	if !second.Deadline.IsZero() {
		t.Fatal("a deadline out of nothing")
	}
	if err := r.Responder.Send(wire.KindDecrypted, []byte("late")); err != nil {
		t.Fatal(err)
	}
	if err := second.Responder.Send(wire.KindDecrypted, []byte("in time")); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != call || string(call.Answer) != "in time" {
		t.Fatalf("answered %q", call.Answer)
	}
	if n := c.LateAnswers(); n != 1 {
		t.Fatalf("%d late answers", n)
	}
	call.Release()
	allAnswered(t, s)
	if c.InFlight() != 0 {
		t.Fatal("something is left in flight")
	}
}

func TestContextEndsTheCall(t *testing.T) {
	held := make(chan Responder, 1)
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{request: func(r *Request) { held <- r.Responder }}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()
	call := c.NewCall()
	defer call.Release()
	if err := c.Do(ctx, call); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrSentUnknown) {
		t.Fatal(err)
	}
	past, cancel2 := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel2()
	if err := c.Do(past, call); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNotSent) {
		t.Fatal(err)
	}
}

func TestInFlightLimitRefusesWithoutSending(t *testing.T) {
	held := make(chan Responder, 2)
	c, _ := pair(t, ClientConfig{MaxInFlight: 2}, ServerConfig{
		Handler: &handler{request: func(r *Request) { held <- r.Responder }},
	})
	done := make(chan *Call, 2)
	for range 2 {
		if err := c.Start(c.NewCall(), done); err != nil {
			t.Fatal(err)
		}
	}
	third := c.NewCall()
	if err := c.Do(t.Context(), third); !errors.Is(err, ErrInFlight) || !errors.Is(err, ErrNotSent) {
		t.Fatal(err)
	}
	third.Release()
	for range 2 {
		if err := (<-held).Fail(wire.Overloaded, 250*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		call := <-done
		var we *wire.Error
		if !errors.As(call.Err(), &we) || we.Code != wire.Overloaded || we.RetryAfterMS != 250 || call.Answer != nil {
			t.Fatal(call.Err())
		}
		call.Release()
	}
}

func TestCallsOfABrokenSessionSayWhetherTheyWereSent(t *testing.T) {
	seen := make(chan struct{}, 1)
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{request: func(*Request) { seen <- struct{}{} }}})
	done := make(chan *Call, 1)
	call := c.NewCall()
	if err := c.Start(call, done); err != nil {
		t.Fatal(err)
	}
	<-seen
	_ = s.Close()
	if err := (<-done).Err(); !errors.Is(err, ErrSentUnknown) || !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	ends(t, c, ErrClosed)
	if err := c.Do(t.Context(), call); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	var ce *CallError
	if err := call.Err(); !errors.As(err, &ce) || ce.Sent {
		t.Fatal(err)
	}
	call.Release()
}

// TestQueuedButUnsentCallsSaySo stops the lane's writer inside a write; what is queued behind it has not been sent.
func TestQueuedButUnsentCallsSaySo(t *testing.T) {
	a, b := socketpair(t)
	gate := newGated(b)
	c, s := pairOver(t, a, gate, ClientConfig{}, ServerConfig{})
	gate.stopReading()
	done := make(chan *Call, 3)
	start := func(n int) *Call {
		call := c.NewCall()
		call.Body = append(call.Body, make([]byte, n)...)
		if err := c.Start(call, done); err != nil {
			t.Fatal(err)
		}
		return call
	}
	// More than socket and window take: the writer blocks.
	first := start(wire.MaxBody)
	q := c.single[0].q
	taken := func() uint64 {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.taken
	}
	for deadline, last := time.Now().Add(5*time.Second), uint64(0); last == 0 || taken() != last; {
		if time.Now().After(deadline) {
			t.Fatal("the writer does not block")
		}
		last = taken()
		<-time.After(50 * time.Millisecond)
	}
	second := start(400)
	go func() { _ = c.Close() }()
	for range 2 {
		switch call := <-done; call {
		case first:
			if !errors.Is(call.Err(), ErrSentUnknown) {
				t.Error(call.Err())
			}
		case second:
			if !errors.Is(call.Err(), ErrNotSent) {
				t.Error(call.Err())
			}
		}
	}
	_ = s.Close()
}

func TestResponderAnswersExactlyOnce(t *testing.T) {
	var wins atomic.Int32
	var wg sync.WaitGroup
	h := &handler{request: func(r *Request) {
		resp := r.Responder
		for i := range 8 {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					err = resp.Send(wire.KindDecrypted, []byte("x"))
				} else {
					err = resp.Fail(wire.Internal, 0)
				}
				if err == nil {
					wins.Add(1)
				} else if !errors.Is(err, ErrAnswered) {
					t.Error(err)
				}
			})
		}
	}}
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	call := c.NewCall()
	defer call.Release()
	for range 200 {
		_ = c.Do(t.Context(), call)
	}
	wg.Wait()
	allAnswered(t, s)
	if wins.Load() != 200 || c.LateAnswers() != 0 {
		t.Fatalf("%d answers to 200 requests, %d late", wins.Load(), c.LateAnswers())
	}
	if err := (Responder{}).Fail(wire.Internal, 0); !errors.Is(err, ErrAnswered) {
		t.Fatal(err)
	}
}

func TestPanicsOfTheHandlerAreAnswered(t *testing.T) {
	var panics atomic.Int32
	h := &handler{
		request:  func(r *Request) { r.Own(); panic("sentinel") },
		pong:     func() wire.Pong { return wire.Pong{} },
		stats:    func(*wire.Stats) { panic("sentinel") },
		purge:    func(*wire.Purge) (wire.Purged, error) { panic("sentinel") },
		attest:   func(context.Context, []byte) ([]byte, error) { panic("sentinel") },
		panicked: func(any) { panics.Add(1); panic("again") },
	}
	h.credentials = func(*wire.Credentials) error { panic("sentinel") }
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	call := c.NewCall()
	defer call.Release()
	isInternal := func(err error) {
		t.Helper()
		var we *wire.Error
		if !errors.As(err, &we) || we.Code != wire.Internal {
			t.Error(err)
		}
	}
	isInternal(c.Do(t.Context(), call))
	isInternal(c.Stats(t.Context(), &wire.Stats{}))
	_, err := c.Purge(t.Context(), &wire.Purge{})
	isInternal(err)
	_, err = c.Attest(t.Context(), make([]byte, 8), nil)
	isInternal(err)
	isInternal(c.SetCredentials(t.Context(), &wire.Credentials{AccessKeyID: []byte("a"), Secret: []byte("b")}))
	if panics.Load() != 5 {
		t.Fatalf("told of %d panics", panics.Load())
	}
	h.request = nil
	if err := c.Do(t.Context(), call); err != nil {
		t.Fatal("the session did not survive", err)
	}
}

func TestOwnedBodiesOutliveTheReader(t *testing.T) {
	type work struct {
		body []byte
		r    Responder
	}
	jobs := make(chan work, 1000)
	h := &handler{request: func(r *Request) { jobs <- work{r.Own(), r.Responder} }}
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	const n = 300
	done := make(chan *Call, n)
	for i := range n {
		call := c.NewCall()
		call.Body = append(call.Body, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i*i%20_000)...)
		call.User = i
		if err := c.Start(call, done); err != nil {
			t.Fatal(err)
		}
	}
	var all []work
	for range n {
		all = append(all, <-jobs)
	}
	for _, w := range all {
		if err := w.r.Send(wire.KindDecrypted, append(w.r.Buffer(len(w.body)), w.body...)); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		call := <-done
		if i := call.User.(int); call.Err() != nil || !bytes.Equal(call.Answer, call.Body) {
			t.Fatalf("call %d: %v", i, call.Err())
		}
		call.Release()
	}
}
