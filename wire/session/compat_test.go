package session

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/yamuxframe"
)

// helloV2 is what a later version says: a wider range, features and extensions that this one does not know.
func helloV2(least uint16) []byte {
	h := plainHello()
	h.MinVersion, h.MaxVersion = least, 2
	h.Features |= 1 << 50
	body := h.Append(nil)
	body = append(body, 0x84, 0x07, 3, 'n', 'e', 'w') // extension 900
	return frame(wire.Header{Kind: wire.KindHello, Flags: 0x80}, body)
}

func readRaw(p *rawPeer) (wire.Hello, error) {
	h, err := readHello(p.control)
	return h, err
}

// TestClientWorksWithAnEnclaveOneVersionAhead emulates an enclave of version 2 that has been rolled first.
func TestClientWorksWithAnEnclaveOneVersionAhead(t *testing.T) {
	a, b := socketpair(t)
	p := &rawPeer{tb: t, conn: b}
	errs := make(chan error, 1)
	go func() { errs <- enclaveV2(p) }()
	logged := make(chan string, 1)
	c, err := NewClient(t.Context(), a, ClientConfig{OnLog: func(m *wire.Log) { logged <- string(m.Text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = c.Close(), p.ys.Close() }()
	if c.Version() != 1 || c.Features().Has(1<<50) || !c.Features().Has(wire.FeatureStats) {
		t.Fatalf("version %d, features %x", c.Version(), c.Features())
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if text := <-logged; text != "from version 2" {
		t.Fatal(text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var st wire.Stats
	if err := c.Stats(ctx, &st); err != nil {
		t.Fatal(err)
	}
	if v, ok := st.Value(wire.StatRequests); !ok || v != 5 || wire.StatID(7777).Known() {
		t.Fatal("the known number is lost among the unknown")
	}
	call := c.NewCall()
	defer call.Release()
	var r wire.DecryptResponse
	if err := c.Do(ctx, call); err != nil || r.Decode(call.Answer) != nil || r.Code != wire.Internal {
		t.Fatal(err, r.Code)
	}
}

// enclaveV2 sends in every place what only version 2 knows.
func enclaveV2(p *rawPeer) (err error) {
	if p.ys, err = newYamuxServer(p); err != nil {
		return err
	}
	if p.control, err = p.ys.Accept(); err != nil {
		return err
	}
	if _, err = readPreamble(p.control); err != nil {
		return err
	}
	if _, err = readRaw(p); err != nil {
		return err
	}
	p.write(p.control, helloV2(1))
	for range 2 {
		st, err := p.ys.Accept()
		if err != nil {
			return err
		}
		p.lanes = append(p.lanes, st)
	}
	p.write(p.control, frame(wire.Header{Kind: 99, Flags: 0x40}, []byte("news of version 2")))
	log := &wire.Log{Level: 3, Text: []byte("from version 2")}
	body := log.Append(nil)
	body[0] = 9 // a level of version 2
	p.write(p.control, frame(wire.Header{Kind: wire.KindLog}, append(body, 0x84, 0x07, 0)))
	go p.answerV2()
	go func() {
		st := p.lanes[0]
		if _, err := readPreamble(st); err != nil {
			return
		}
		h, _, err := p.readFrame(st)
		if err != nil {
			return
		}
		body := (&wire.DecryptResponse{Code: 99}).Append(nil) // a code of version 2
		p.write(st, frame(wire.Header{Kind: wire.KindDecrypted, ID: h.ID, Flags: 0x20}, append(body, 0x84, 0x07, 1, 1)))
	}()
	return nil
}

func (p *rawPeer) answerV2() {
	for {
		h, _, err := p.readFrame(p.control)
		if err != nil {
			return
		}
		switch h.Kind {
		case wire.KindPing:
			body := append((&wire.Pong{Health: wire.HealthReady | 1<<31}).Append(nil), 0x84, 0x07, 0)
			p.write(p.control, frame(wire.Header{Kind: wire.KindPong, ID: h.ID}, body))
		case wire.KindStatsRequest:
			var st wire.Stats
			st.Add(7777, -1)
			st.Add(wire.StatRequests, 5)
			st.AddHistogram(88, 1, 3)
			p.write(p.control, frame(wire.Header{Kind: wire.KindStats, ID: h.ID}, append(st.Append(nil), 0x84, 0x07, 0)))
		}
	}
}

// TestServerWorksWithAParentOneVersionAhead is the other order of a rollout.
func TestServerWorksWithAParentOneVersionAhead(t *testing.T) {
	a, b := socketpair(t)
	p := &rawPeer{tb: t, conn: a}
	made := make(chan *Server, 1)
	got := make(chan string, 1)
	h := &handler{request: func(r *Request) {
		var m wire.DecryptRequest
		if err := m.Decode(r.Own()); err != nil {
			t.Error(err)
		}
		got <- string(m.VaultID)
		_ = r.Responder.Send(wire.KindDecrypted, nil)
	}}
	go func() {
		s, err := NewServer(t.Context(), b, ServerConfig{Handler: h})
		if err != nil {
			t.Error(err)
		}
		made <- s
	}()
	var err error
	if p.ys, err = newYamuxClient(p); err != nil {
		t.Fatal(err)
	}
	if p.control, err = p.ys.Open(); err != nil {
		t.Fatal(err)
	}
	p.write(p.control, append(preamble(streamControl), helloV2(1)...))
	if p.hello, err = readRaw(p); err != nil || p.hello.MaxVersion != wire.MaxVersion {
		t.Fatal(err)
	}
	s := <-made
	defer func() { _, _ = s.Close(), p.ys.Close() }()
	st, err := p.ys.Open() // a kind of stream of version 2
	if err != nil {
		t.Fatal(err)
	}
	p.write(st, []byte{'R', 'd', 9, 0})
	if _, _, err := p.readFrame(st); err == nil {
		t.Fatal("an unknown stream is not closed")
	}
	lane := p.openLane(streamLane)
	body := (&wire.DecryptRequest{Encoding: 3, VaultID: []byte("v_1")}).Append(nil)
	body = append(body, 0x84, 0x07, 2, 1, 1)
	p.write(lane, frame(wire.Header{Kind: wire.KindDecrypt, ID: 1, Flags: 0xF0}, body))
	if vault := <-got; vault != "v_1" {
		t.Fatal("the request is not understood")
	}
	if h, _, err := p.readFrame(lane); err != nil || h.ID != 1 {
		t.Fatal(err)
	}
	ping := append((&wire.Ping{ClockMS: 1}).Append(nil), 0x84, 0x07, 0)
	p.write(p.control, frame(wire.Header{Kind: wire.KindPing, ID: 2}, ping))
	if h, _, err := p.readFrame(p.control); err != nil || h.Kind != wire.KindPong {
		t.Fatal(err)
	}
}

// TestNoCommonVersionIsToldToBothSides: versions two apart.
func TestNoCommonVersionIsToldToBothSides(t *testing.T) {
	a, b := socketpair(t)
	p := &rawPeer{tb: t, conn: b}
	go func() {
		var err error
		if p.ys, err = newYamuxServer(p); err != nil {
			return
		}
		if p.control, err = p.ys.Accept(); err == nil {
			p.write(p.control, helloV2(2))
		}
	}()
	if _, err := NewClient(t.Context(), a, ClientConfig{}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
	_ = b.Close()

	a, b = socketpair(t)
	serverErr := make(chan error, 1)
	go func() {
		_, err := NewServer(t.Context(), b, ServerConfig{
			Handler: &handler{}, Config: Config{Hello: wire.Hello{MinVersion: 2, MaxVersion: 3}},
		})
		serverErr <- err
	}()
	if _, err := NewClient(t.Context(), a, ClientConfig{}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
	if err := <-serverErr; !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

// heldConn returns from no write of more than a frame's header until it is closed.
type heldConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *heldConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if len(b) > yamuxframe.HeaderSize {
		<-c.closed
	}
	return n, err
}

func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// TestNoCommonVersionIsToldOfAPeerThatIsGone: the peer has read the hello and closed before this side's write returns.
func TestNoCommonVersionIsToldOfAPeerThatIsGone(t *testing.T) {
	a, b := socketpair(t)
	serverErr := make(chan error, 1)
	go func() {
		_, err := NewServer(t.Context(), &heldConn{Conn: b, closed: make(chan struct{})}, ServerConfig{
			Handler: &handler{}, Config: Config{Hello: wire.Hello{MinVersion: 2, MaxVersion: 3}},
		})
		serverErr <- err
	}()
	if _, err := NewClient(t.Context(), a, ClientConfig{}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
	if err := <-serverErr; !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

// TestPeersWithoutFeaturesAreNotAskedForThem: what a peer does not announce is refused on this side.
func TestPeersWithoutFeaturesAreNotAskedForThem(t *testing.T) {
	a, b := socketpair(t)
	p := &rawPeer{tb: t, conn: b}
	ready := make(chan error, 1)
	go func() {
		var err error
		if p.ys, err = newYamuxServer(p); err == nil {
			h := plainHello()
			h.Features = 0
			h.MaxLanes = 1
			p.control, err = p.ys.Accept()
			if err == nil {
				_, err = readPreamble(p.control)
			}
			if err == nil {
				p.hello, err = readRaw(p)
			}
			if err == nil {
				err = writeHello(p.control, 0, h)
			}
		}
		ready <- err
	}()
	c, err := NewClient(t.Context(), a, ClientConfig{Lanes: 4})
	if perr := <-ready; err != nil || perr != nil {
		t.Fatal(err, perr)
	}
	defer func() { _, _ = c.Close(), p.ys.Close() }()
	if err := c.Stats(t.Context(), &wire.Stats{}); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if _, err := c.Attest(t.Context(), make([]byte, 8), nil); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if err := c.OpenDomain(t.Context(), []byte("record")); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if len(c.single) != 1 || c.batch != nil {
		t.Error("opened more lanes than the enclave takes")
	}
	// A batch goes on the single lane then.
	st, err := p.ys.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = readPreamble(st)
		if h, body, err := p.readFrame(st); err == nil {
			p.write(st, frame(wire.Header{Kind: wire.KindDecrypted, ID: h.ID}, body))
		}
	}()
	call := c.NewCall()
	call.Batch, call.Body = true, append(call.Body, "x"...)
	if err := c.Do(t.Context(), call); err != nil || !bytes.Equal(call.Answer, []byte("x")) {
		t.Fatal(err)
	}
	call.Release()
}
