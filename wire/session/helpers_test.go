package session

import (
	"context"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"redoubt/wire"
)

// socketpair returns the ends of a unix stream socket.
func socketpair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	conn := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer func() { _ = f.Close() }()
		c, err := net.FileConn(f)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	return conn(fds[0]), conn(fds[1])
}

// handler is a Handler made of functions; those that are nil do the plain thing.
type handler struct {
	request     func(r *Request)
	credentials func(m *wire.Credentials) error
	purge       func(m *wire.Purge) (wire.Purged, error)
	pong        func() wire.Pong
	stats       func(m *wire.Stats)
	attest      func(ctx context.Context, nonce []byte) ([]byte, error)
	openDomain  func(ctx context.Context, record []byte) error
	panicked    func(v any)
}

func (h *handler) Request(r *Request) {
	if h.request != nil {
		h.request(r)
		return
	}
	echo(r)
}

// echo answers with the request's body.
func echo(r *Request) {
	buf := append(r.Responder.Buffer(len(r.Body)), r.Body...)
	_ = r.Responder.Send(wire.KindDecrypted, buf)
}

func (h *handler) Credentials(m *wire.Credentials) error {
	if h.credentials != nil {
		return h.credentials(m)
	}
	return nil
}

func (h *handler) Purge(m *wire.Purge) (wire.Purged, error) {
	if h.purge != nil {
		return h.purge(m)
	}
	return wire.Purged{}, nil
}

func (h *handler) Pong() wire.Pong {
	if h.pong != nil {
		return h.pong()
	}
	return wire.Pong{Health: wire.HealthReady}
}

func (h *handler) Stats(m *wire.Stats) {
	if h.stats != nil {
		h.stats(m)
	}
}

func (h *handler) Attest(ctx context.Context, nonce []byte) ([]byte, error) {
	if h.attest != nil {
		return h.attest(ctx, nonce)
	}
	return nonce, nil
}

func (h *handler) OpenDomain(ctx context.Context, record []byte) error {
	if h.openDomain != nil {
		return h.openDomain(ctx, record)
	}
	return nil
}

func (h *handler) Panicked(v any) {
	if h.panicked != nil {
		h.panicked(v)
	}
}

// pair makes a session over a socket pair. Both ends are closed when the test ends.
func pair(tb testing.TB, cc ClientConfig, sc ServerConfig) (*Client, *Server) {
	tb.Helper()
	a, b := socketpair(tb)
	return pairOver(tb, a, b, cc, sc)
}

func pairOver(tb testing.TB, a, b net.Conn, cc ClientConfig, sc ServerConfig) (*Client, *Server) {
	tb.Helper()
	if sc.Handler == nil {
		sc.Handler = &handler{}
	}
	type made struct {
		s   *Server
		err error
	}
	ch := make(chan made, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		s, err := NewServer(ctx, b, sc)
		ch <- made{s, err}
	}()
	c, err := NewClient(ctx, a, cc)
	m := <-ch
	if err != nil || m.err != nil {
		tb.Fatalf("client: %v, server: %v", err, m.err)
	}
	tb.Cleanup(func() {
		_ = c.Close()
		_ = m.s.Close()
	})
	return c, m.s
}

// allAnswered waits until a server counts no request: it does so after it wrote the answer, which the client may have
// by then.
func allAnswered(tb testing.TB, s *Server) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); s.InFlight() != 0; {
		if time.Now().After(end) {
			tb.Fatalf("%d requests in flight", s.InFlight())
		}
		runtime.Gosched()
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
