package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxSessions = 2 })
	a := w.dial()
	w.dial()
	eventually(t, "two sessions", func() bool { return w.server.Sessions() == 2 })
	if c, err := w.tryDial(); err == nil {
		_ = c.Close()
		t.Error("a third session was opened")
	}
	_ = a.Close()
	eventually(t, "room", func() bool { return w.server.Sessions() == 1 })
	w.dial()
}

func TestAPeerThatSaysNothingTakesAPlaceOnlyForAWhile(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.MaxSessions = 1
		c.Session.HelloTimeout = 50 * time.Millisecond
	})
	silent, err := net.Dial("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	eventually(t, "a session", func() bool {
		c, err := w.tryDial()
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

func TestManySessionsAtOnceGetTheirOwnAnswers(t *testing.T) {
	w := newWorld(t)
	body := w.request()
	var wg sync.WaitGroup
	for range 6 {
		c := w.dial()
		wg.Go(func() {
			for range 100 {
				if err := do(c, body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestASessionKilledMidFlightLeavesTheOthersAlone(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	body := w.request()
	w.kms.set(func(f *fakeKMS) { f.gate = gate })
	a, b := w.dial(), w.dial()
	lost, kept := make(chan error, 1), make(chan error, 1)
	go func() { lost <- do(a, body) }()
	go func() { kept <- do(b, body) }()
	eventually(t, "two waiting", func() bool { _, n := w.engine.InFlight(); return n == 2 })
	_ = a.Close()
	if err := <-lost; err == nil {
		t.Error("an answer over a dead session")
	}
	eventually(t, "its end", func() bool { return w.server.Sessions() == 1 })
	close(gate)
	if err := <-kept; err != nil {
		t.Error(err)
	}
	eventually(t, "the end of all requests", func() bool { n, _ := w.engine.InFlight(); return n == 0 })
}

func TestDrainLosesNoAcceptedRequest(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	body := w.request()
	w.kms.set(func(f *fakeKMS) { f.gate = gate })
	clients := []*session.Client{w.dial(), w.dial(), w.dial()}
	results := make(chan error, 60)
	for i := range 60 {
		go func() { results <- do(clients[i%3], body) }()
	}
	eventually(t, "sixty waiting", func() bool { _, n := w.engine.InFlight(); return n == 60 })
	w.stop()
	eventually(t, "draining", w.engine.Draining)
	eventually(t, "the parents' notice", func() bool {
		return clients[0].Draining() && clients[1].Draining() && clients[2].Draining()
	})
	if c, err := w.tryDial(); err == nil {
		_ = c.Close()
		t.Error("a session was opened while draining")
	}
	for _, c := range clients {
		go func() { _ = c.Drain(context.Background()) }() // as a parent does
	}
	close(gate)
	for range 60 {
		if err := <-results; err != nil {
			t.Errorf("an accepted request: %v", err)
		}
	}
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	w.served <- nil
}

func TestDrainEndsAtItsLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	body := w.request()
	gate := make(chan struct{})
	defer close(gate)
	w.kms.set(func(f *fakeKMS) { f.gate = gate }) // KMS does not answer
	result := make(chan error, 1)
	c := w.dial()
	go func() { result <- do(c, body) }()
	eventually(t, "one waiting", func() bool { _, n := w.engine.InFlight(); return n == 1 })
	w.stop()
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	w.served <- nil
	if err := <-result; err == nil {
		t.Error("an answer without a key")
	}
}

func TestEgressGoesThroughAnySessionThatConnects(t *testing.T) {
	w := newWorld(t)
	if _, err := w.egress.Dial(ctx(t), "kms:443"); !errors.Is(err, ErrNoSession) {
		t.Errorf("without a session: %v", err)
	}
	refuse := func(c *session.ClientConfig) {
		c.OnEgress = func(context.Context, string) (net.Conn, error) { return nil, session.ErrRefused }
	}
	w.dial(refuse)
	eventually(t, "a session", func() bool { return w.server.Sessions() == 1 })
	if _, err := w.egress.Dial(ctx(t), "kms:443"); !errors.Is(err, session.ErrRefused) {
		t.Errorf("through a parent that refuses: %v", err)
	}
	w.dial(func(c *session.ClientConfig) {
		c.OnEgress = func(_ context.Context, target string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				_, _ = io.WriteString(far, target)
				_ = far.Close()
			}()
			return near, nil
		}
	})
	eventually(t, "another", func() bool { return w.server.Sessions() == 2 })
	for range 4 { // whichever is asked first
		conn, err := w.egress.Dial(ctx(t), "kms:443")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); string(b) != "kms:443" {
			t.Errorf("read %q: %v", b, err)
		}
		_ = conn.Close()
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := New(w.server.cfg)
	if err := s.Serve(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestAPanicInAControlMessageIsAnsweredAndCounted(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Renew = func() { panic("boom") } })
	c := w.dial()
	m := wire.Credentials{AccessKeyID: []byte("id"), Secret: []byte("secret")}
	if err := c.SetCredentials(ctx(t), &m); !errors.Is(err, &wire.Error{Code: wire.Internal}) {
		t.Errorf("error %v", err)
	}
	if n := w.engine.Stats().Get(wire.StatPanics); n != 1 {
		t.Errorf("%d panics counted", n)
	}
	if _, err := c.Ping(ctx(t)); err != nil {
		t.Errorf("the session did not survive: %v", err)
	}
}
