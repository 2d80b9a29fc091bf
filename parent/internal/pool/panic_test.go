package pool_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
)

// panics is an Observer that panics at the first session.
type panics struct {
	counter
	panicked atomic.Int64
}

func (p *panics) SessionPanicked() { p.panicked.Add(1) }

func (p *panics) SessionOpened() {
	if p.opened.Add(1) == 1 {
		panic("on the way of what an enclave says")
	}
}

func TestAPanicBesideASessionEndsItAndAnotherIsOpened(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	o := &panics{}
	p := pool.New(pool.Options{
		Sessions: 1, MaxInFlight: 10, PingEvery: time.Second, RetryMax: 100 * time.Millisecond, Observer: o, Log: quiet(),
	})
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	if err := p.Set([]string{e.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "a session", p.Ready)
	if got, err := ask(p, "x", time.Second); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if n := o.panicked.Load(); n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}
