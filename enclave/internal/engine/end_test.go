package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

func TestDrainEndsWhatIsInFlightAndRefusesTheRest(t *testing.T) {
	w := newWorld(t, options{})
	gate := make(chan struct{})
	w.kms.gate = gate
	codes := make(chan wire.Code, 20)
	for i := range 20 {
		q := w.simple(fmt.Sprint("v_", i))
		go func() { _, code := w.do(q); codes <- code }()
	}
	eventually(t, "twenty waiting", func() bool { _, n := w.engine.InFlight(); return n == 20 })
	drained := make(chan error, 1)
	go func() { drained <- w.engine.Drain(context.Background()) }()
	eventually(t, "draining", w.engine.Draining)
	if _, code := w.do(w.simple("v_late")); code != wire.ShuttingDown {
		t.Errorf("a late comer: %v, want shutting_down", code)
	}
	select {
	case <-drained:
		t.Fatal("drained with requests in flight")
	default:
	}
	close(gate)
	for range 20 {
		if code := <-codes; code != wire.OK {
			t.Errorf("an accepted request: %v", code)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if n := w.cache.Stats().Keys; n != 20 {
		t.Errorf("%d keys", n)
	}
}

func TestDrainGivesUpAtItsLimitAndStillAnswers(t *testing.T) {
	w := newWorld(t, options{})
	w.kms.gate = make(chan struct{}) // never answers
	code := make(chan wire.Code, 1)
	q := w.simple("v_1")
	go func() { _, c := w.do(q); code <- c }()
	eventually(t, "one waiting", func() bool { _, n := w.engine.InFlight(); return n == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := w.engine.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	w.cache.Close()
	if c := <-code; c != wire.ShuttingDown {
		t.Errorf("code %v, want shutting_down", c)
	}
	settled(t, w)
}

func TestASessionThatDiesTakesOnlyItsOwnRequests(t *testing.T) {
	w := newWorld(t, options{})
	h := &handler{engine: w.engine}
	doomed, server := w.connect(h, session.ClientConfig{})
	gate := make(chan struct{})
	w.kms.gate = gate
	var mine, others sync.WaitGroup
	for i := range 20 {
		a, b := w.simple(fmt.Sprint("v_a", i)), w.simple(fmt.Sprint("v_b", i))
		mine.Go(func() {
			m, code := w.do(a)
			want(t, a, m, code, "f="+string(a.VaultID))
		})
		others.Go(func() {
			c := doomed.NewCall()
			defer c.Release()
			c.Body = b.Append(c.Body)
			var lost *session.CallError
			if err := doomed.Do(context.Background(), c); !errors.As(err, &lost) {
				t.Errorf("a call of the dead session: %v", err)
			}
		})
	}
	eventually(t, "forty waiting", func() bool { _, n := w.engine.InFlight(); return n == 40 })
	_ = server.Close() // as a reset would
	<-server.Done()
	h.origin.End()
	others.Wait()
	opened := w.engine.Stats().Get(wire.StatFieldsOpened)
	close(gate)
	mine.Wait()
	settled(t, w)
	if n := w.engine.Stats().Get(wire.StatFieldsOpened) - opened; n != 20 {
		t.Errorf("%d fields opened, want 20: the requests of the dead session are dropped unopened", n)
	}
	_ = doomed.Close()
}
