package session

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/yamuxframe"
)

// TestLanesSpeakYamux sends long messages both ways between our lanes and the streams of yamux's own library, which
// ends a session whose peer writes beyond a window.
func TestLanesSpeakYamux(t *testing.T) {
	const total = 20
	body := bytes.Repeat([]byte("0123456789abcdef"), wire.MaxBody/16)
	patient := Config{FrameTimeout: 5 * time.Minute, WriteTimeout: 5 * time.Minute, QueueBytes: wire.MaxAssembly}
	t.Run("as a client", func(t *testing.T) {
		c, p := rawServer(t, ClientConfig{Config: patient, PingTimeout: 5 * time.Minute})
		go p.pong()
		for _, st := range p.lanes {
			go func() { _, _ = io.Copy(struct{ io.Writer }{st}, kindChanged{st}) }()
		}
		var wg sync.WaitGroup
		for i := range total {
			wg.Go(func() {
				call := c.NewCall()
				defer call.Release()
				call.Batch = i%2 == 0
				call.Body = append(call.Body, body[:len(body)-i]...)
				if err := c.Do(t.Context(), call); err != nil || !bytes.Equal(call.Answer, call.Body) {
					t.Errorf("message %d: %d bytes, %v", i, len(call.Answer), err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("as a server", func(t *testing.T) {
		_, p := rawClient(t, ServerConfig{Config: patient, IdleTimeout: 5 * time.Minute})
		var wg sync.WaitGroup
		for l, st := range []io.ReadWriter{p.lanes[0], p.openLane(streamBatch)} {
			wg.Go(func() {
				for i := range total / 2 {
					for off := 0; off < len(body); off += wire.MaxChunk {
						h := wire.Header{Kind: wire.KindDecrypt, ID: uint64(i), Flags: wire.FlagMore}
						if off+wire.MaxChunk == len(body) {
							h.Flags = 0
						}
						_, _ = st.Write(frame(h, body[off:off+wire.MaxChunk]))
					}
				}
			})
			wg.Go(func() {
				got := map[uint64][]byte{}
				for whole := 0; whole < total/2; {
					h, b, err := p.readFrame(p.lanes[l])
					if err != nil {
						t.Error(err)
						return
					}
					got[h.ID] = append(got[h.ID], b...)
					if h.Flags&wire.FlagMore == 0 {
						if whole++; !bytes.Equal(got[h.ID], body) {
							t.Errorf("lane %d, message %d differs", l, h.ID)
						}
					}
				}
			})
		}
		wg.Wait()
	})
}

// kindChanged reads frames of requests and gives them back as those of answers.
type kindChanged struct{ io.Reader }

func (r kindChanged) Read(b []byte) (int, error) {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(r.Reader, head[:]); err != nil {
		return 0, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return 0, err
	}
	h.Kind, h.DeadlineMS = wire.KindDecrypted, 0
	n := copy(b, wire.AppendHeader(nil, h)) // io.Copy's buffer holds the longest frame
	m, err := io.ReadFull(r.Reader, b[n:n+int(h.Length)])
	return n + m, err
}

// pong answers pings until the control stream ends.
func (p *rawPeer) pong() {
	for {
		h, _, err := p.readFrame(p.control)
		if err != nil {
			return
		}
		p.write(p.control, frame(wire.Header{Kind: wire.KindPong, ID: h.ID}, (&wire.Pong{}).Append(nil)))
	}
}

// TestLanesEndSessionsThatBreakYamux: each row is frames of yamux that a peer sends below the lanes.
func TestLanesEndSessionsThatBreakYamux(t *testing.T) {
	window := func(stream, by uint32, flags yamuxframe.Flags) []byte {
		return yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.Window, Flags: flags, Stream: stream, Length: by})
	}
	chunks := bytes.Repeat(chunk(1), 2*streamWindow/wire.MinChunk)
	rows := map[string]struct {
		send []byte
		want error
	}{
		"data beyond the window": {muxDataFrame(3, streamWindow+1, nil), ErrProtocol},
		"data beyond what is left of it": {
			append(muxDataFrame(3, 8, make([]byte, 8)), muxDataFrame(3, streamWindow, nil)...), ErrProtocol,
		},
		"a window beyond all bounds": {append(window(3, 1<<31-1, 0), window(3, 1<<31-1, 0)...), ErrProtocol},
		"data for no stream":         {muxDataFrame(77, 1, []byte{1}), ErrProtocol},
		"a window for no stream":     {window(77, 1, 0), ErrProtocol},
		"a reset":                    {window(3, 0, yamuxframe.RST), ErrClosed},
		"an end with data":           {append([]byte{0, byte(yamuxframe.Data), 0, byte(yamuxframe.FIN)}, muxDataFrame(3, 4, []byte("abcd"))[4:]...), ErrClosed},
		"an endless message":         {muxDataFrame(3, streamWindow, chunks[:streamWindow]), ErrProtocol},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := limits(r.want)
			cfg.Hello.MaxBody = wire.MaxChunk
			s, p := rawClient(t, ServerConfig{Config: cfg})
			_, _ = p.conn.Write(r.send)
			ends(t, s, r.want)
			c, q := rawServer(t, ClientConfig{Config: cfg, PingTimeout: time.Minute})
			_, _ = q.conn.Write(r.send)
			ends(t, c, r.want)
		})
	}
	t.Run("a stream towards the parent with a number of the parent's", func(t *testing.T) {
		c, p := rawServer(t, ClientConfig{Config: limits(ErrProtocol), PingTimeout: time.Minute})
		_, _ = p.conn.Write(window(9, 0, yamuxframe.SYN))
		ends(t, c, ErrProtocol)
	})
}

// TestStreamsOfUnknownTypeAreClosedAndTheSessionGoesOn is what package wire promises to later versions.
func TestStreamsOfUnknownTypeAreClosedAndTheSessionGoesOn(t *testing.T) {
	s, p := rawClient(t, ServerConfig{})
	for range 3 * DefaultMaxLanes {
		st, err := p.ys.Open()
		if err != nil {
			t.Fatal(err)
		}
		p.write(st, append([]byte("Rdz\x00"), make([]byte, 1000)...))
		if n, err := st.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatal("the stream is not closed", n, err)
		}
		_ = st.Close()
	}
	p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, ID: 7}, nil))
	if h, _, err := p.readFrame(p.lanes[0]); err != nil || h.ID != 7 {
		t.Fatal(err)
	}
	if n := s.lanes.Load(); n != 1 {
		t.Fatalf("%d streams count as lanes", n)
	}
}
