package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
)

// TestDrainLosesNoAcceptedRequest is SECURITY.md, check 33 for a session: callers hammer it while either end drains.
// Each call ends in its answer, or in an error that says that it was not taken.
func TestDrainLosesNoAcceptedRequest(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			var wg sync.WaitGroup
			var taken, answered atomic.Int64
			h := &handler{request: func(r *Request) {
				taken.Add(1)
				r.Own()
				resp := r.Responder
				wg.Go(func() {
					<-time.After(5 * time.Millisecond)
					if err := resp.Send(wire.KindDecrypted, []byte("answer")); err != nil {
						t.Error(err)
					}
				})
			}}
			c, s := pair(t, ClientConfig{Lanes: 2}, ServerConfig{Handler: h})
			var callers sync.WaitGroup
			for range 16 {
				callers.Go(func() {
					for {
						call := c.NewCall()
						err := c.Do(context.Background(), call)
						call.Release()
						var we *wire.Error
						switch {
						case err == nil:
							answered.Add(1)
							continue
						case errors.Is(err, ErrNotSent):
						case errors.As(err, &we) && we.Code == wire.ShuttingDown:
						default:
							t.Error(err)
						}
						return
					}
				})
			}
			for deadline := time.Now().Add(5 * time.Second); answered.Load() < 100 && time.Now().Before(deadline); {
				<-time.After(time.Millisecond)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var err error
			if side == "client" {
				err = c.Drain(ctx)
			} else {
				within(t, 4*time.Second, "drain", func() { err = s.Drain(ctx) })
			}
			if err != nil {
				t.Fatal(err)
			}
			callers.Wait()
			wg.Wait()
			if taken.Load() != answered.Load() {
				t.Fatalf("%d requests taken, %d answered", taken.Load(), answered.Load())
			}
			<-c.Done()
			<-s.Done()
		})
	}
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	held := make(chan Responder, 1)
	goAway := make(chan wire.Code, 1)
	c, s := pair(t, ClientConfig{OnGoAway: func(c wire.Code) { goAway <- c }}, ServerConfig{
		Handler: &handler{request: func(r *Request) { held <- r.Responder }},
	})
	done := make(chan *Call, 1)
	if err := c.Start(c.NewCall(), done); err != nil {
		t.Fatal(err)
	}
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if code := <-goAway; code != wire.ShuttingDown || !c.Draining() {
		t.Fatal(code)
	}
	if err := (<-done).Err(); !errors.Is(err, ErrSentUnknown) {
		t.Fatal(err)
	}
}

func TestDrainingEnclaveSaysSoInItsPongs(t *testing.T) {
	held := make(chan Responder, 1)
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{
		request: func(r *Request) { held <- r.Responder },
		pong:    func() wire.Pong { return wire.Pong{Health: wire.HealthReady} },
	}})
	done := make(chan *Call, 1)
	if err := c.Start(c.NewCall(), done); err != nil {
		t.Fatal(err)
	}
	r := <-held
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	for !s.conn.Drained() {
		<-time.After(time.Millisecond)
	}
	p, err := c.Ping(t.Context())
	if err != nil || p.Health.Has(wire.HealthAccepting) {
		t.Fatal(p, err)
	}
	if err := r.Fail(wire.KMSUnavailable, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	(<-done).Release()
}
