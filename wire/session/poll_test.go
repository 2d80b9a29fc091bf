package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
)

func TestOneGoroutineOfTheProcessPollsAtATimeAndRarelyWhereItDoesNotPay(t *testing.T) {
	var a, b poller
	if !a.begin() || b.begin() {
		t.Fatal("not one at a time")
	}
	a.end(true)
	if !b.begin() {
		t.Fatal("the right to poll is not given back")
	}
	b.end(true)
	polled := 0
	for range 1000 { // in vain each time
		if a.begin() {
			polled++
			a.end(false)
		}
	}
	if polled > 25 || polled < 10 {
		t.Errorf("polled %d times of 1,000 in vain", polled)
	}
	for a.turns > 0 {
		a.begin()
	}
	for range 100 {
		if !a.begin() {
			t.Fatal("keeps away though it paid the last time")
		}
		a.end(true)
	}
}

// TestLoneCallsAreAnsweredToWhoeverReads: by the caller that polls and by the session's reader in turn, and beside
// control messages, which are yamux's.
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

// TestWhatIsYamuxsGoesToYamuxWhoeverReadsIt: bytes that a caller has read from the socket wait for Read, which is
// woken although the socket is empty.
func TestWhatIsYamuxsGoesToYamuxWhoeverReadsIt(t *testing.T) {
	a, b := socketpair(t)
	g := newGroupConn(a, time.Second)
	if g.raw == nil {
		t.Fatal("no descriptor")
	}
	frame := make([]byte, muxHeaderSize, muxHeaderSize+5) // a data frame of stream 0: nobody's but yamux's
	frame[11] = 5
	frame = append(frame, "hello"...)
	got := make(chan []byte, 1)
	go func() {
		p := make([]byte, 100)
		n, err := io.ReadAtLeast(g, p, len(frame))
		if err != nil {
			t.Error(err)
		}
		got <- p[:n]
	}()
	if _, err := b.Write(frame[:4]); err != nil {
		t.Fatal(err)
	}
	g.peek() // or Read: one of them has the beginning of the header
	if _, err := b.Write(frame[4:]); err != nil {
		t.Fatal(err)
	}
	g.peek()
	select {
	case p := <-got:
		if !bytes.Equal(p, frame) {
			t.Errorf("%q", p)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Read is not woken")
	}
	_ = b.Close()
	if _, err := g.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
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
