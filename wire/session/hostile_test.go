package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
	"redoubt/wire/yamuxframe"
)

// quick are limits short enough to wait for.
func quick() Config {
	const d = 300 * time.Millisecond
	return Config{HelloTimeout: d, WriteTimeout: d, FrameTimeout: d}
}

// limits are quick where a session must end by them, else too long to come before what must end it on a busy machine.
// Every session is made within HelloTimeout, and a stream that says nothing ends by it.
func limits(want error) Config {
	if errors.Is(want, ErrLiveness) {
		c := quick()
		c.HelloTimeout = 2 * time.Second
		return c
	}
	return Config{HelloTimeout: 2 * time.Second, WriteTimeout: 20 * time.Second, FrameTimeout: 20 * time.Second}
}

func rawHeader(length uint32, kind wire.Kind, flags wire.Flags, id uint64) []byte {
	return wire.AppendHeader(nil, wire.Header{Length: length, Kind: kind, Flags: flags, ID: id})
}

func chunk(id uint64) []byte {
	return frame(wire.Header{Kind: wire.KindDecrypt, Flags: wire.FlagMore, ID: id}, make([]byte, wire.MinChunk))
}

// TestServerEndsSessionsOfHostileParents is SECURITY.md, check 16 for the enclave: each row is what a parent sends on
// a lane.
func TestServerEndsSessionsOfHostileParents(t *testing.T) {
	rows := []struct {
		name string
		send func(p *rawPeer)
		want error
	}{
		{"slow loris: half a header", func(p *rawPeer) { p.write(p.lanes[0], make([]byte, 7)) }, ErrLiveness},
		{"slow loris: half a body", func(p *rawPeer) {
			p.write(p.lanes[0], append(rawHeader(100, wire.KindDecrypt, 0, 1), 1, 2, 3))
		}, ErrLiveness},
		{"slow loris: a byte now and then", func(p *rawPeer) {
			b := frame(wire.Header{Kind: wire.KindDecrypt, ID: 1}, make([]byte, 1000))
			for _, c := range b {
				if p.ys.IsClosed() {
					return
				}
				p.write(p.lanes[0], []byte{c})
				<-time.After(10 * time.Millisecond)
			}
		}, ErrLiveness},
		{"slow loris: a message whose chunks stop", func(p *rawPeer) { p.write(p.lanes[0], chunk(1)) }, ErrLiveness},
		{"lying length: beyond a chunk", func(p *rawPeer) {
			p.write(p.lanes[0], rawHeader(wire.MaxChunk+1, wire.KindDecrypt, 0, 1))
		}, ErrProtocol},
		{"lying length: 4 GiB", func(p *rawPeer) {
			p.write(p.lanes[0], rawHeader(1<<32-1, wire.KindDecrypt, 0, 1))
		}, ErrProtocol},
		{"zero length chunks", func(p *rawPeer) {
			p.write(p.lanes[0], rawHeader(0, wire.KindDecrypt, wire.FlagMore, 1))
		}, ErrProtocol},
		{"message of the limit + 1", func(p *rawPeer) {
			for range wire.MaxBody / wire.MaxChunk {
				p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, Flags: wire.FlagMore, ID: 1},
					make([]byte, wire.MaxChunk)))
			}
			p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, ID: 1}, []byte{0}))
		}, ErrProtocol},
		{"flood of messages begun", func(p *rawPeer) {
			for id := range uint64(1000) {
				if p.ys.IsClosed() {
					return
				}
				p.write(p.lanes[0], chunk(id))
			}
		}, ErrProtocol},
		{"kind changes within a message", func(p *rawPeer) {
			p.write(p.lanes[0], chunk(1))
			p.write(p.lanes[0], frame(wire.Header{Kind: 77, ID: 1}, nil))
		}, ErrProtocol},
		{"flood of unknown kinds on a lane", func(p *rawPeer) {
			p.drain(p.lanes[0])
			for range maxUnknown + 1 {
				p.write(p.lanes[0], frame(wire.Header{Kind: 77, ID: 1}, nil))
			}
		}, ErrProtocol},
		{"flood of unknown kinds on the control stream", func(p *rawPeer) {
			p.drain(p.control)
			for range maxUnknown + 1 {
				p.write(p.control, frame(wire.Header{Kind: 77}, nil))
			}
		}, ErrProtocol},
		{"a malformed ping", func(p *rawPeer) {
			p.write(p.control, frame(wire.Header{Kind: wire.KindPing}, []byte{1}))
		}, ErrProtocol},
		{"more lanes than announced", func(p *rawPeer) {
			for range 20 * DefaultMaxLanes {
				p.openLane(streamLane)
			}
		}, ErrProtocol},
		{"a lane that does not say what it is", func(p *rawPeer) {
			if st, err := p.ys.Open(); err == nil {
				p.write(st, []byte("GET "))
			}
		}, ErrProtocol},
		{"a stream that says nothing", func(p *rawPeer) { _, _ = p.ys.Open() }, ErrProtocol},
		{"no pings", func(*rawPeer) {}, ErrLiveness},
		{"reset", func(p *rawPeer) { _ = p.conn.Close() }, ErrClosed},
		{"a lane is closed", func(p *rawPeer) { _ = p.lanes[0].Close() }, ErrClosed},
		{"the control stream is closed before the lanes", func(p *rawPeer) { _ = p.control.Close() }, ErrClosed},
		{"no yamux any more", func(p *rawPeer) {
			_, _ = p.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}, ErrProtocol},
		{"yamux of another version", func(p *rawPeer) {
			_, _ = p.conn.Write([]byte{9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		}, ErrProtocol},
		{"a yamux frame beyond the window", func(p *rawPeer) { _, _ = p.conn.Write(muxDataFrame(1, 1<<31, nil)) }, ErrProtocol},
		{"slow loris below yamux: a frame's body stops", func(p *rawPeer) {
			_, _ = p.conn.Write(muxDataFrame(3, 1000, make([]byte, 10)))
		}, ErrLiveness},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			cfg := limits(r.want)
			cfg.Hello.MaxInFlight = 50 // and of messages begun
			idle := time.Minute
			if r.name == "no pings" || strings.Contains(r.name, "below yamux") { // where pings do not come through
				idle = 500 * time.Millisecond
			}
			s, p := rawClient(t, ServerConfig{Config: cfg, IdleTimeout: idle})
			go r.send(p)
			ends(t, s, r.want)
		})
	}
}

// muxDataFrame is a yamux data frame that announces n bytes.
func muxDataFrame(stream, n uint32, body []byte) []byte {
	return append(yamuxframe.Append(nil, yamuxframe.Header{Stream: stream, Length: n}), body...)
}

// TestClientEndsSessionsOfHostileEnclaves is the same for the parent.
func TestClientEndsSessionsOfHostileEnclaves(t *testing.T) {
	answer := func(id uint64, body []byte) []byte {
		return frame(wire.Header{Kind: wire.KindDecrypted, ID: id}, body)
	}
	rows := []struct {
		name string
		send func(p *rawPeer)
		want error
	}{
		{"an answer to what was never asked", func(p *rawPeer) {
			p.write(p.lanes[0], answer(1<<slotBits, nil))
		}, ErrProtocol},
		{"an answer to id 0", func(p *rawPeer) { p.write(p.lanes[0], answer(0, nil)) }, ErrProtocol},
		{"an answer to a later use of a slot", func(p *rawPeer) {
			p.write(p.lanes[0], answer(9<<slotBits, nil))
		}, ErrProtocol},
		{"half a frame", func(p *rawPeer) { p.write(p.lanes[0], rawHeader(10, wire.KindDecrypted, 0, 1)) }, ErrLiveness},
		{"a control answer never asked for", func(p *rawPeer) {
			p.write(p.control, frame(wire.Header{Kind: wire.KindStats, ID: 1 << 40}, nil))
		}, ErrProtocol},
		{"a pong of another kind", func(p *rawPeer) {
			h, _, err := p.readFrame(p.control)
			if err == nil {
				p.write(p.control, frame(wire.Header{Kind: wire.KindStats, ID: h.ID}, []byte{0, 0}))
			}
		}, ErrProtocol},
		{"no pongs", func(*rawPeer) {}, ErrLiveness},
		{"a malformed log", func(p *rawPeer) {
			p.write(p.control, frame(wire.Header{Kind: wire.KindLog}, []byte{1}))
		}, ErrProtocol},
		{"flood of unknown kinds", func(p *rawPeer) {
			for range maxUnknown + 1 {
				p.write(p.control, frame(wire.Header{Kind: 77}, nil))
			}
		}, ErrProtocol},
		{"flood of streams of unknown type", func(p *rawPeer) {
			for range maxUnknown + acceptBacklog + 1 {
				st, err := p.ys.Open()
				if err != nil {
					return
				}
				p.write(st, []byte("Rdzz"))
				_, _ = io.Copy(io.Discard, st)
				_ = st.Close()
			}
		}, ErrProtocol},
		{"reset", func(p *rawPeer) { _ = p.conn.Close() }, ErrClosed},
		{"a lane is closed", func(p *rawPeer) { _ = p.lanes[1].Close() }, ErrClosed},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			cfg := limits(r.want)
			timeout := time.Minute
			if r.name == "no pongs" {
				timeout = 500 * time.Millisecond
			}
			c, p := rawServer(t, ClientConfig{Config: cfg, PingTimeout: timeout})
			go r.send(p)
			ends(t, c, r.want)
			call := c.NewCall()
			if err := c.Do(context.Background(), call); !errors.Is(err, ErrNotSent) || !errors.Is(err, r.want) {
				t.Errorf("a call on an ended session: %v", err)
			}
			call.Release()
		})
	}
}

func TestHelloThatDoesNotComeEndsInTime(t *testing.T) {
	for name, peer := range map[string]func(p *rawPeer, client bool){
		"nothing":     func(*rawPeer, bool) {},
		"not yamux":   func(p *rawPeer, _ bool) { _, _ = p.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"closed":      func(p *rawPeer, _ bool) { _ = p.conn.Close() },
		"no preamble": func(p *rawPeer, client bool) { hello(p, client, []byte("GET /")) },
		"half a hello": func(p *rawPeer, client bool) {
			hello(p, client, rawHeader(60, wire.KindHello, 0, 0))
		},
		"another kind": func(p *rawPeer, client bool) {
			hello(p, client, frame(wire.Header{Kind: wire.KindPing}, make([]byte, 8)))
		},
		"malformed": func(p *rawPeer, client bool) {
			hello(p, client, frame(wire.Header{Kind: wire.KindHello}, make([]byte, 8)))
		},
		"too long": func(p *rawPeer, client bool) {
			hello(p, client, rawHeader(wire.MaxChunk+1, wire.KindHello, 0, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := socketpair(t)
			c, d := socketpair(t)
			ps, pc := &rawPeer{tb: t, conn: b}, &rawPeer{tb: t, conn: c}
			go peer(ps, false)
			go peer(pc, true)
			within(t, 5*time.Second, "both hellos", func() {
				_, err := NewClient(t.Context(), a, ClientConfig{Config: quick()})
				if !errors.Is(err, ErrHello) && !errors.Is(err, ErrProtocol) {
					t.Errorf("client: %v", err)
				}
				_, err = NewServer(t.Context(), d, ServerConfig{Config: quick(), Handler: &handler{}})
				if !errors.Is(err, ErrHello) && !errors.Is(err, ErrProtocol) {
					t.Errorf("server: %v", err)
				}
			})
			for _, p := range []*rawPeer{ps, pc} {
				_ = p.conn.Close()
			}
		})
	}
}

// hello does what a peer does up to its hello, and sends b in its stead.
func hello(p *rawPeer, client bool, b []byte) {
	var err error
	if !client {
		if p.ys, err = yamux.Server(p.conn, yamuxConfig()); err == nil {
			if st, err := p.ys.Accept(); err == nil {
				p.write(st, b)
				_, _ = io.Copy(io.Discard, st)
			}
		}
		return
	}
	if p.ys, err = yamux.Client(p.conn, yamuxConfig()); err == nil {
		if st, err := p.ys.Open(); err == nil {
			if b[0] != 'G' {
				p.write(st, preamble(streamControl))
			}
			p.write(st, b)
			_, _ = io.Copy(io.Discard, st)
		}
	}
}

func TestEmptyBodiesAndUnknownKindsAreAnswered(t *testing.T) {
	_, p := rawClient(t, ServerConfig{})
	lane := p.lanes[0]
	p.write(lane, frame(wire.Header{Kind: wire.KindDecrypt, ID: 7}, nil))
	if h, body, err := p.readFrame(lane); err != nil || h.ID != 7 || h.Kind != wire.KindDecrypted || len(body) != 0 {
		t.Fatal(h, err)
	}
	p.write(lane, frame(wire.Header{Kind: 77, ID: 8}, []byte("later version")))
	h, body, err := p.readFrame(lane)
	var m wire.ErrorBody
	if err != nil || h.ID != 8 || h.Kind != wire.KindError || m.Decode(body) != nil || m.Code != wire.BadRequest {
		t.Fatal(h, err)
	}
	p.write(p.control, frame(wire.Header{Kind: 77, ID: 9}, nil))
	if h, _, err := p.readFrame(p.control); err != nil || h.ID != 9 || h.Kind != wire.KindError {
		t.Fatal(h, err)
	}
}

func TestServerRefusesMoreThanItsLimitInFlight(t *testing.T) {
	held := make(chan Responder, 10)
	h := &handler{request: func(r *Request) { held <- r.Responder }}
	s, p := rawClient(t, ServerConfig{Handler: h, Config: Config{Hello: wire.Hello{MaxInFlight: 2}}})
	for id := range uint64(3) {
		p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, ID: id}, nil))
	}
	hd, body, err := p.readFrame(p.lanes[0])
	var m wire.ErrorBody
	if err != nil || hd.ID != 2 || m.Decode(body) != nil || m.Code != wire.Overloaded {
		t.Fatal(hd, err)
	}
	for range 2 {
		if err := (<-held).Fail(wire.KeyDenied, 0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.readFrame(p.lanes[0]); err != nil {
			t.Fatal(err)
		}
	}
	allAnswered(t, s)
}
