package session

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
)

// TestLoneCallsAreAnsweredToWhoeverReads: by the caller that polls and by the session's reader in turn, and beside
// control messages.
func TestLoneCallsAreAnsweredToWhoeverReads(t *testing.T) {
	h := &handler{request: func(r *Request) { _ = r.Responder.Send(wire.KindDecrypted, r.Body) }}
	c, s := pair(t, ClientConfig{PingInterval: time.Minute}, ServerConfig{Handler: h, IdleTimeout: time.Minute})
	stop := make(chan struct{})
	var control sync.WaitGroup
	control.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.Ping(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 2000 {
		want := bytes.Repeat([]byte{byte(i)}, 1+i*37%5000)
		call := c.NewCall()
		call.Body = append(call.Body, want...)
		if err := c.Do(t.Context(), call); err != nil || !bytes.Equal(call.Answer, want) {
			t.Fatalf("call %d: %v", i, err)
		}
		call.Release()
		alone := c.NewCall()
		alone.Body = append(alone.Body, want...)
		if err := c.Do(context.Background(), alone); err != nil || !bytes.Equal(alone.Answer, want) {
			t.Fatalf("call %d: %v", i, err)
		}
		alone.Release()
	}
	close(stop)
	control.Wait()
	if c.Err() != nil || s.Err() != nil {
		t.Error(c.Err(), s.Err())
	}
}

// TestASessionThatEndsUnderAPollingCallerEndsItsCall: what the peer breaks is seen by the caller that reads it.
func TestASessionThatEndsUnderAPollingCallerEndsItsCall(t *testing.T) {
	for range 20 {
		c, p := rawServer(t, ClientConfig{PingInterval: time.Minute, PingTimeout: time.Minute})
		go func() {
			h, _, err := p.readFrame(p.lanes[0])
			if err == nil {
				p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypted, ID: h.ID + 1<<slotBits}, nil)) // never asked
			}
		}()
		call := c.NewCall()
		if err := c.Do(context.Background(), call); !errors.Is(err, ErrProtocol) {
			t.Fatal(err)
		}
		ends(t, c, ErrProtocol)
	}
}
