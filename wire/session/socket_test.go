package session_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire"
	"redoubt/wire/session"
)

// The tests of this package know only NewServer, NewClient and the bytes on the socket.

// Frames of yamux, as github.com/hashicorp/yamux/spec.md has them.
const (
	frameData, frameWindow, framePing, frameGoAway = 0, 1, 2, 3

	flagSYN, flagACK, flagFIN, flagRST = 1, 2, 4, 8
)

// muxFrame is a frame of yamux whose length field says length, with body after it.
func muxFrame(kind byte, flags uint16, stream, length uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, body...)
}

// muxBytes is a data frame that carries body.
func muxBytes(flags uint16, stream uint32, body ...byte) []byte {
	return muxFrame(frameData, flags, stream, uint32(len(body)), body...)
}

func preambleOf(kind byte) []byte { return []byte{'R', 'd', kind, 0} }

func message(kind wire.Kind, flags wire.Flags, id uint64, body []byte) []byte {
	return append(wire.AppendHeader(nil, wire.Header{Length: uint32(len(body)), Kind: kind, Flags: flags, ID: id}), body...)
}

func helloMessage() []byte {
	h := wire.Hello{
		MinVersion: 1, MaxVersion: 1, MaxInFlight: 1000, MaxLanes: 4, MaxBody: wire.MaxBody,
		Features: wire.FeatureBatchLane | wire.FeatureEgress | wire.FeatureLog | wire.FeatureStats | wire.FeatureAttest,
	}
	return message(wire.KindHello, 0, 0, h.Append(nil))
}

// parentHello is all that a parent sends before its lanes.
func parentHello() []byte {
	return muxBytes(flagSYN, 1, append(preambleOf(1), helloMessage()...)...)
}

// enclaveHello is the enclave's part of it.
func enclaveHello() []byte { return muxBytes(flagACK, 1, helloMessage()...) }

// asked reads what a parent says first. What an enclave says before belongs to a stream that is not open yet.
func asked(tb testing.TB, peer net.Conn) {
	tb.Helper()
	if _, err := io.ReadFull(peer, make([]byte, len(muxFrame(frameWindow, flagSYN, 1, 0)))); err != nil {
		tb.Error(err)
	}
}

func unixPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var cs [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		cs[i], err = net.FileConn(f)
		_ = f.Close()
		if err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() { _, _ = cs[0].Close(), cs[1].Close() })
	return cs[0], cs[1]
}

// end is a session of either side.
type end interface {
	Close() error
	Done() <-chan struct{}
	Err() error
}

// handles answers each request with what it carried. panicked may be nil.
type handles struct{ panicked func() }

func (handles) Request(r *session.Request) {
	_ = r.Responder.Send(wire.KindDecrypted, append(r.Responder.Buffer(len(r.Body)), r.Body...))
}
func (handles) Credentials(*wire.Credentials) error                    { return nil }
func (handles) Purge(*wire.Purge) (wire.Purged, error)                 { return wire.Purged{}, nil }
func (handles) Pong() wire.Pong                                        { return wire.Pong{Health: wire.HealthReady} }
func (handles) Stats(*wire.Stats)                                      {}
func (handles) OpenDomain(context.Context, []byte) error               { return nil }
func (handles) Attest(_ context.Context, nonce []byte) ([]byte, error) { return nonce, nil }

func (h handles) Panicked(any) {
	if h.panicked != nil {
		h.panicked()
	}
}

// limited is a configuration whose limits end soon what does not come.
func limited() session.Config {
	const d = 2 * time.Second
	return session.Config{HelloTimeout: d, WriteTimeout: d, FrameTimeout: d}
}

type beginner func(ctx context.Context, conn net.Conn, panicked func()) (end, error)

// sides makes either end of a session on conn; panicked is told of panics.
var sides = map[string]beginner{
	"enclave": func(ctx context.Context, conn net.Conn, panicked func()) (end, error) {
		return orNil(session.NewServer(ctx, conn, session.ServerConfig{Config: limited(), Handler: handles{panicked}}))
	},
	"parent": func(ctx context.Context, conn net.Conn, panicked func()) (end, error) {
		return orNil(session.NewClient(ctx, conn, session.ClientConfig{
			Config: limited(), PingTimeout: time.Minute, OnPanic: func(any) { panicked() },
		}))
	},
}

func orNil[E end](e E, err error) (end, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}

// over waits for the end of a session and of its goroutines.
func over(tb testing.TB, e end) {
	tb.Helper()
	select {
	case <-e.Done():
	case <-time.After(30 * time.Second):
		tb.Fatal("the session does not end")
	}
}
