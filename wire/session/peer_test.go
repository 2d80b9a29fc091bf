package session

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
)

// rawPeer is one end of a session, driven by hand: it can break any rule.
type rawPeer struct {
	tb      testing.TB
	conn    net.Conn
	ys      *yamux.Session
	control net.Conn
	lanes   []net.Conn
	hello   wire.Hello // of the other end
}

func yamuxConfig() *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive = false
	cfg.LogOutput = io.Discard
	return cfg
}

func plainHello() *wire.Hello {
	return &wire.Hello{
		MinVersion: 1, MaxVersion: 1, MaxInFlight: 1000, MaxLanes: 4, MaxBody: wire.MaxBody,
		Features: wire.FeatureBatchLane | wire.FeatureEgress | wire.FeatureLog | wire.FeatureStats | wire.FeatureAttest,
	}
}

// rawServer makes a client under test and the enclave that it talks to, after the hellos and with its two lanes open.
func rawServer(tb testing.TB, cfg ClientConfig) (*Client, *rawPeer) {
	tb.Helper()
	a, b := socketpair(tb)
	p := &rawPeer{tb: tb, conn: b}
	ready := make(chan error, 1)
	go func() {
		var err error
		if p.ys, err = yamux.Server(b, yamuxConfig()); err != nil {
			ready <- err
			return
		}
		ready <- p.greetClient(plainHello())
	}()
	c, err := NewClient(tb.Context(), a, cfg)
	if perr := <-ready; err != nil || perr != nil {
		tb.Fatalf("client: %v, peer: %v", err, perr)
	}
	tb.Cleanup(func() {
		_ = p.ys.Close()
		_ = c.Close()
	})
	return c, p
}

func (p *rawPeer) greetClient(h *wire.Hello) (err error) {
	if p.control, err = p.ys.Accept(); err != nil {
		return err
	}
	if _, err = readPreamble(p.control); err != nil {
		return err
	}
	if p.hello, err = readHello(p.control); err != nil {
		return err
	}
	if err = writeHello(p.control, 0, h); err != nil {
		return err
	}
	for range 2 {
		st, err := p.ys.Accept()
		if err != nil {
			return err
		}
		if _, err := readPreamble(st); err != nil {
			return err
		}
		p.lanes = append(p.lanes, st)
	}
	return nil
}

// rawClient makes a server under test and the parent that it talks to, after the hellos, with one lane open.
func rawClient(tb testing.TB, cfg ServerConfig) (*Server, *rawPeer) {
	tb.Helper()
	a, b := socketpair(tb)
	p := &rawPeer{tb: tb, conn: a}
	if cfg.Handler == nil {
		cfg.Handler = &handler{}
	}
	type made struct {
		s   *Server
		err error
	}
	ch := make(chan made, 1)
	go func() {
		s, err := NewServer(tb.Context(), b, cfg)
		ch <- made{s, err}
	}()
	var err error
	if p.ys, err = yamux.Client(a, yamuxConfig()); err != nil {
		tb.Fatal(err)
	}
	if p.control, err = p.ys.Open(); err != nil {
		tb.Fatal(err)
	}
	if err = writeHello(p.control, streamControl, plainHello()); err != nil {
		tb.Fatal(err)
	}
	if p.hello, err = readHello(p.control); err != nil {
		tb.Fatal(err)
	}
	m := <-ch
	if m.err != nil {
		tb.Fatal(m.err)
	}
	p.openLane(streamLane)
	tb.Cleanup(func() {
		_ = p.ys.Close()
		_ = m.s.Close()
	})
	return m.s, p
}

// openLane opens a lane. The other end may have ended the session already, which is what many tests are about: then the
// lane is a connection that is closed, and what the test expects of the session tells.
func (p *rawPeer) openLane(t streamType) net.Conn {
	st, err := p.ys.Open()
	if err != nil {
		var far net.Conn
		st, far = net.Pipe()
		_, _ = st.Close(), far.Close()
	}
	p.write(st, preamble(t))
	p.lanes = append(p.lanes, st)
	return st
}

// write writes; that the other end has ended the session meanwhile is no error of the test's.
func (p *rawPeer) write(st net.Conn, b []byte) {
	_ = st.SetWriteDeadline(time.Now().Add(time.Minute))
	_, _ = st.Write(b)
}

func frame(h wire.Header, body []byte) []byte {
	h.Length = uint32(len(body))
	return append(wire.AppendHeader(nil, h), body...)
}

// readFrame reads a frame.
func (p *rawPeer) readFrame(st net.Conn) (wire.Header, []byte, error) {
	_ = st.SetReadDeadline(time.Now().Add(time.Minute))
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(st, b[:]); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(b[:])
	if err != nil {
		return h, nil, err
	}
	body := make([]byte, h.Length)
	_, err = io.ReadFull(st, body)
	return h, body, err
}

// drain reads and drops all that comes on a stream, until it ends.
func (p *rawPeer) drain(st net.Conn) {
	go func() { _, _ = io.Copy(io.Discard, st) }()
}

// ends waits for the end of a session, and checks the reason.
func ends(tb testing.TB, s interface {
	Done() <-chan struct{}
	Err() error
}, want error,
) {
	tb.Helper()
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		tb.Fatal("the session does not end")
	}
	if !errors.Is(s.Err(), want) {
		tb.Fatalf("ended by %v, not by %v", s.Err(), want)
	}
}

// within fails the test when f takes longer than d.
func within(tb testing.TB, d time.Duration, what string, f func()) {
	tb.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > d {
		tb.Errorf("%s took %v", what, took)
	}
}

// gated is a connection that stops reading, or writing, when told to, as a peer that is stuck does. It hides
// the descriptor.
type gated struct {
	net.Conn
	mu     sync.Mutex
	cond   *sync.Cond
	closed bool
	noRead bool
}

func newGated(c net.Conn) *gated {
	g := &gated{Conn: c}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gated) stopReading() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noRead = true
}

func (g *gated) goOnReading() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noRead = false
	g.cond.Broadcast()
}

func (g *gated) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.noRead && !g.closed {
		g.cond.Wait()
	}
	return n, err
}

func (g *gated) Close() error {
	g.mu.Lock()
	g.closed = true
	g.cond.Broadcast()
	g.mu.Unlock()
	return g.Conn.Close()
}

func readPreamble(r io.Reader) (streamType, error) {
	var b [preambleSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	return parsePreamble(b[:])
}

// writeHello writes the hello frame, in one piece with the preamble when t is not zero.
func writeHello(w io.Writer, t streamType, h *wire.Hello) error {
	var b []byte
	if t != 0 {
		b = preamble(t)
	}
	_, err := w.Write(append(b, frame(wire.Header{Kind: wire.KindHello}, h.Append(nil))...))
	return err
}

// readHello reads exactly one frame, which must be a hello.
func readHello(r io.Reader) (wire.Hello, error) {
	var m wire.Hello
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return m, err
	}
	h, err := wire.ParseHeader(head)
	if err != nil || h.Kind != wire.KindHello {
		return m, ErrProtocol
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(r, body); err != nil {
		return m, err
	}
	return m, m.Decode(body)
}

func newYamuxServer(p *rawPeer) (*yamux.Session, error) { return yamux.Server(p.conn, yamuxConfig()) }

func newYamuxClient(p *rawPeer) (*yamux.Session, error) { return yamux.Client(p.conn, yamuxConfig()) }
