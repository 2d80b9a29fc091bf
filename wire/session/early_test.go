package session_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

// TestFramesBeforeTheHelloEndOnlyTheirConnection sends what a peer may not send yet, as the first bytes of many
// connections at once, half of which are closed the moment after.
func TestFramesBeforeTheHelloEndOnlyTheirConnection(t *testing.T) {
	for side, begin := range sides {
		for name, first := range map[string][]byte{
			"a byte for a lane":      muxBytes(0, 3, 9),
			"a lane is opened":       muxFrame(frameWindow, flagSYN, 3, 0),
			"a lane with a preamble": muxBytes(flagSYN, 3, preambleOf(2)...),
			"a lane is reset":        muxFrame(frameWindow, flagRST, 3, 0),
			"another version":        {9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			"stream 0":               muxBytes(flagSYN, 0, 9),
			"the control stream is reset": append(muxFrame(frameWindow, flagSYN, 1, 0),
				muxFrame(frameWindow, flagRST, 1, 0)...),
			"a go-away": muxFrame(frameGoAway, 0, 0, 1),
			"nothing":   nil,
		} {
			t.Run(side+"/"+name, func(t *testing.T) {
				t.Parallel()
				for range 12 {
					atOnce(t, begin, first)
				}
			})
		}
	}
}

// atOnce begins sessions on eight connections at once, on which first has been sent already.
func atOnce(t *testing.T, begin beginner, first []byte) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 8 {
		own, peer := unixPair(t)
		if _, err := peer.Write(first); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if e, err := begin(ctx, own, func() { t.Error("a panic") }); err == nil {
				t.Error("a session without a hello")
				_ = e.Close()
			}
			_ = peer.Close()
		})
		if i%2 == 0 {
			_ = peer.Close()
			continue
		}
		wg.Go(func() { _, _ = io.Copy(io.Discard, peer) })
	}
	wg.Wait()
}

// TestASessionThatEndsWhileItBeginsEndsWhole sends a hello and, with it, what ends the session: its end comes before,
// while and after its goroutines are started, none of which may be left or forgotten.
func TestASessionThatEndsWhileItBeginsEndsWhole(t *testing.T) {
	hellos := map[string][]byte{"enclave": parentHello(), "parent": enclaveHello()}
	for side, begin := range sides {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			last := [][]byte{{9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, muxFrame(frameWindow, flagRST, 3, 0)}
			for i := range 300 {
				own, peer := unixPair(t)
				go func() {
					if side == "parent" {
						asked(t, peer)
					}
					_, _ = peer.Write(hellos[side])
					for range i / 3 {
						runtime.Gosched()
					}
					_, _ = peer.Write(last[i%2])
					_, _ = io.Copy(io.Discard, peer)
				}()
				if e, err := begin(t.Context(), own, func() { t.Error("a panic") }); err == nil {
					over(t, e)
				}
				_ = peer.Close()
			}
		})
	}
}

// afterHello makes a session of a side whose peer has said hello, and sends b.
func afterHello(t *testing.T, hello, b []byte, begin func(conn net.Conn) (end, error)) end {
	t.Helper()
	own, peer := unixPair(t)
	go func() {
		if hello[3]&flagACK != 0 {
			asked(t, peer)
		}
		_, _ = peer.Write(hello)
		_, _ = io.Copy(io.Discard, peer)
	}()
	e, err := begin(own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Write(b); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestAPanicInACallbackEndsTheSessionAndNotTheProcess goes through the callbacks that a peer's bytes reach on the
// goroutines of the session.
func TestAPanicInACallbackEndsTheSessionAndNotTheProcess(t *testing.T) {
	var told atomic.Int64
	parent := func(set func(*session.ClientConfig)) func(net.Conn) (end, error) {
		cfg := session.ClientConfig{Config: limited(), OnPanic: func(any) { told.Add(1) }}
		set(&cfg)
		return func(conn net.Conn) (end, error) { return orNil(session.NewClient(t.Context(), conn, cfg)) }
	}
	enclave := func(conn net.Conn) (end, error) {
		return orNil(session.NewServer(t.Context(), conn, session.ServerConfig{
			Config: limited(), Handler: handles{func() { told.Add(1) }}, Idle: func() bool { panic("idle") },
		}))
	}
	log := (&wire.Log{Text: []byte("text")}).Append(nil)
	for name, r := range map[string]struct {
		hello, b []byte
		begin    func(net.Conn) (end, error)
	}{
		"parent: a log": {
			enclaveHello(), muxBytes(0, 1, message(wire.KindLog, 0, 0, log)...),
			parent(func(c *session.ClientConfig) { c.OnLog = func(*wire.Log) { panic("log") } }),
		},
		"parent: a go-away": {
			enclaveHello(), muxBytes(0, 1, message(wire.KindGoAway, 0, 0, (&wire.GoAway{}).Append(nil))...),
			parent(func(c *session.ClientConfig) { c.OnGoAway = func(wire.Code) { panic("go away") } }),
		},
		"parent: an egress stream": {
			enclaveHello(), muxBytes(flagSYN, 2, append(preambleOf(4), 3, 0, 'a', ':', '1')...),
			parent(func(c *session.ClientConfig) {
				c.OnEgress = func(context.Context, string) (net.Conn, error) { panic("egress") }
			}),
		},
		"enclave: the reader of lanes": {
			parentHello(), muxBytes(flagSYN, 3, append(preambleOf(2), message(wire.KindDecrypt, 0, 1, nil)...)...), enclave,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := told.Load()
			e := afterHello(t, r.hello, r.b, r.begin)
			over(t, e)
			if !errors.Is(e.Err(), session.ErrFault) || told.Load() == before {
				t.Errorf("ended by %v, told of %d panics", e.Err(), told.Load()-before)
			}
		})
	}
}
