package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file begins a session. The reading goroutine handles the peer's hello. So all that a byte after the hello can
// reach is settled before that byte is looked at. greet sets the fields of base; they do not change afterwards, and
// are read without a lock.

// streamType is the third byte of a stream's preamble.
type streamType byte

const (
	streamControl streamType = 1
	streamLane    streamType = 2
	streamBatch   streamType = 3
	streamEgress  streamType = 4
)

// preambleSize is the size of what begins each stream: 'R', 'd', type, 0.
const preambleSize = 4

func preamble(t streamType) []byte { return []byte{'R', 'd', byte(t), 0} }

// parsePreamble reads the preambleSize bytes of b.
func parsePreamble(b []byte) (streamType, error) {
	if b[0] != 'R' || b[1] != 'd' {
		return 0, ErrProtocol
	}
	return streamType(b[2]), nil
}

// greeting gathers the peer's hello, with a preamble before it when the peer opens the control stream.
type greeting struct {
	preamble bool
	got      []byte
	need     int // of got, to go on
}

func newGreeting(preamble bool) *greeting {
	g := &greeting{preamble: preamble, need: wire.HeaderSize}
	if preamble {
		g.need = preambleSize
	}
	return g
}

// feed takes bytes of the control stream and returns those after the hello, which m is once it is there.
func (g *greeting) feed(b []byte) (m *wire.Hello, rest []byte, err error) {
	for m == nil {
		n := min(g.need-len(g.got), len(b))
		g.got = append(g.got, b[:n]...)
		if b = b[n:]; len(g.got) < g.need {
			return nil, nil, nil
		}
		if m, err = g.step(); err != nil {
			return nil, nil, err
		}
	}
	return m, b, nil
}

// step looks at what has been gathered: the preamble, then the frame's header, then the frame.
func (g *greeting) step() (*wire.Hello, error) {
	if g.preamble {
		if t, err := parsePreamble(g.got); err != nil || t != streamControl {
			return nil, ErrProtocol
		}
		g.preamble, g.got, g.need = false, g.got[:0], wire.HeaderSize
		return nil, nil
	}
	h, err := wire.ParseHeader(g.got)
	if err != nil || h.Kind != wire.KindHello || h.Flags&wire.FlagMore != 0 {
		return nil, ErrProtocol
	}
	if g.need = wire.HeaderSize + int(h.Length); len(g.got) < g.need {
		return nil, nil
	}
	m := new(wire.Hello)
	if err := m.Decode(g.got[wire.HeaderSize:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return m, nil
}

// base is what both ends of a session share.
type base struct {
	conn    *mux.Conn
	control control
	library library

	// Set by greet.
	peer     wire.Hello
	version  uint16
	features wire.Features
	refusal  error // why the two cannot go on with each other

	unknown atomic.Uint32
}

// init makes a session's connection and control stream, which greet is told of when the peer's hello has come. Nothing
// is read before start.
func (b *base) init(nc net.Conn, cfg *Config, mc mux.Config, greet func(m *wire.Hello) error) {
	mc.WriteTimeout = cfg.WriteTimeout
	mc.Tick = min(cfg.WriteTimeout, cfg.FrameTimeout) / 8
	mc.Window = streamWindow
	b.conn = mux.NewConn(nc, mc)
	b.library = newLibrary(b.conn, cfg, mc.Client)
	b.control = newControl(b.conn, cfg, !mc.Client)
	b.control.greet = greet
}

// meet starts the session and waits until the hellos are exchanged. When it fails, the session has ended.
func (b *base) meet(ctx context.Context, cfg *Config) error {
	b.conn.Start()
	late := time.NewTimer(cfg.HelloTimeout)
	defer late.Stop()
	select {
	case <-b.conn.Opened():
		return nil
	case <-b.conn.Ended():
	case <-ctx.Done():
	case <-late.C:
	}
	b.conn.Fail(ErrHello)
	<-b.conn.Done()
	err := b.conn.Err()
	if b.refusal != nil {
		err = b.refusal
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrHello, context.Cause(ctx))
	case errors.Is(err, ErrVersion), errors.Is(err, ErrProtocol), errors.Is(err, ErrHello):
		return err
	}
	return fmt.Errorf("%w: %w", ErrHello, err)
}

// agree settles version and features with the peer's hello.
func (b *base) agree(own, peer *wire.Hello) error {
	b.peer = *peer
	v, f, ok := wire.Negotiate(own, peer)
	if !ok {
		return ErrVersion
	}
	if peer.MaxInFlight == 0 || peer.MaxLanes == 0 || peer.MaxBody < wire.MaxChunk {
		return ErrProtocol
	}
	b.version, b.features = v, f
	return nil
}

// countUnknown ends the session of a peer that sends what we do not know, again and again.
func (b *base) countUnknown() error {
	if b.unknown.Add(1) > maxUnknown {
		return ErrProtocol
	}
	return nil
}

// Peer is what the other side announced. The caller must not change what it points to.
func (b *base) Peer() *wire.Hello { return &b.peer }

// Version is the protocol version that both sides agreed on.
func (b *base) Version() uint16 { return b.version }

// Features are the optional parts of the protocol that both sides have.
func (b *base) Features() wire.Features { return b.features }

// Close ends the session at once; calls in flight fail with ErrClosed. It waits for the session's goroutines, and so
// must not be called from a callback.
func (b *base) Close() error {
	b.conn.Close()
	return nil
}

// Done is closed when the session has ended and its goroutines are gone.
func (b *base) Done() <-chan struct{} { return b.conn.Done() }

// Ended is closed as soon as the session has ended, before Done.
func (b *base) Ended() <-chan struct{} { return b.conn.Ended() }

// Err says why the session ended; nil while it lives.
func (b *base) Err() error { return b.conn.Err() }
