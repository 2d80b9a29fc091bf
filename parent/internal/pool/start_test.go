package pool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

// begin asks by Start and Finish.
func begin(p *pool.Pool, value string, limit time.Duration) (string, error) {
	deadline, msg := time.Now().Add(limit), request(value)
	done := make(chan *session.Call, 1)
	if err := p.Start(pool.Ask{Deadline: deadline, Batch: true}, msg, msg, done); err != nil {
		return "", err
	}
	call := <-done
	if call.User != msg {
		return "", errors.New("the call is another one's")
	}
	call, err := p.Finish(context.Background(), pool.Ask{Deadline: deadline, Batch: true}, msg, call)
	if err != nil {
		return "", err
	}
	defer call.Release()
	var m wire.DecryptResponse
	if err := m.Decode(call.Answer); err != nil {
		return "", err
	}
	return string(m.Results[0].Value), nil
}

func TestStartAndFinishAnswerAsDo(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p, _ := start(t, pool.Options{}, e)
	want, err := ask(p, "x", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := begin(p, "x", 5*time.Second); err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := begin(p, "x", -time.Second); !errors.Is(err, &wire.Error{Code: wire.DeadlineExceeded}) {
		t.Errorf("a deadline that has passed: %v", err)
	}
	e.Down()
	fakeenclave.Wait(t, "the loss to be seen", func() bool { return !p.Ready() })
	if _, err := begin(p, "x", time.Second); !errors.Is(err, pool.ErrNoneReady) {
		t.Errorf("without the enclave: %v", err)
	}
}

// A request that is under way when its enclave dies is answered by another one.
func TestWhatWasStartedOnADeadEnclaveIsFinishedOnAnother(t *testing.T) {
	block, entered := make(chan struct{}), make(chan struct{}, 1)
	a := fakeenclave.Start(t, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		entered <- struct{}{}
		<-block
		fakeenclave.Echo(req, resp)
	})
	p, counts := start(t, pool.Options{Sessions: 1}, a, fakeenclave.Start(t, nil))
	deadline, msg, done := time.Now().Add(20*time.Second), request("x"), make(chan *session.Call, 1)
	for waits := false; !waits; { // enclaves take turns
		if err := p.Start(pool.Ask{Deadline: deadline, Batch: true}, msg, nil, done); err != nil {
			t.Fatal(err)
		}
		select {
		case <-entered:
			waits = true
		case call := <-done:
			call.Release()
		}
	}
	down := make(chan struct{})
	go func() { a.Down(); close(down) }()
	call := <-done
	if call.Err() == nil {
		t.Error("the dead enclave has answered")
	}
	call, err := p.Finish(context.Background(), pool.Ask{Deadline: deadline, Batch: true}, msg, call)
	if err != nil || counts.retried.Load() != 1 {
		t.Errorf("%v, sent again %d times", err, counts.retried.Load())
	}
	if call != nil {
		call.Release()
	}
	close(block)
	<-down
}
