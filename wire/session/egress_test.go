package session

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"redoubt/wire"
)

// listen makes a TCP server on loopback and returns its address.
func listen(t *testing.T, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

func dialAny(ctx context.Context, target string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", target)
}

func TestEgressDeliversWhatCameBeforeTheEnd(t *testing.T) {
	addr := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("last words ", 50_000)) })
	_, s := pair(t, ClientConfig{OnEgress: dialAny}, ServerConfig{})
	conn, err := s.OpenEgress(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	b, err := io.ReadAll(conn)
	if err != nil || len(b) != 550_000 {
		t.Fatal(len(b), err)
	}
}

func TestEgressEndsWithItsCloserAndItsDeadline(t *testing.T) {
	gone := make(chan struct{})
	addr := listen(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	})
	_, s := pair(t, ClientConfig{OnEgress: dialAny}, ServerConfig{})
	conn, err := s.OpenEgress(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Fatal("a read survives its connection")
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("the target's connection outlives the stream")
	}
}

func TestEgressIsBoundedAndEndsWithTheSession(t *testing.T) {
	addr := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c, s := pair(t, ClientConfig{OnEgress: dialAny, Config: Config{MaxEgress: 2}}, ServerConfig{})
	var conns []net.Conn
	for range 2 {
		conn, err := s.OpenEgress(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if _, err := s.OpenEgress(t.Context(), addr); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("one more than the limit: %v", err)
	}
	_ = c.Close()
	for _, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Fatal("a stream outlives its session")
		}
		_ = conn.Close()
	}
	<-s.Done()
	if _, err := s.OpenEgress(t.Context(), addr); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestEgressOpenEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	_, s := pair(t, ClientConfig{OnEgress: func(ctx context.Context, _ string) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, ServerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := s.OpenEgress(ctx, "kms.example:443"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, target := range []string{"", strings.Repeat("x", wire.MaxHostPort+1)} {
		if _, err := s.OpenEgress(t.Context(), target); !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
	}
}

func TestEgressTargetsOfHostileEnclavesDoNotReachTheCallback(t *testing.T) {
	c, p := rawServer(t, ClientConfig{
		Config:   Config{HelloTimeout: 2 * time.Second},
		OnEgress: func(context.Context, string) (net.Conn, error) { t.Error("asked"); return nil, ErrRefused },
	})
	for name, b := range map[string][]byte{
		"empty":         append(preamble(streamEgress), 0, 0),
		"too long":      append(preamble(streamEgress), 0xff, 0xff),
		"control chars": appendTarget(preamble(streamEgress), "kms\r\nHost: x:443"),
		"not ascii":     appendTarget(preamble(streamEgress), "kms\xff:443"),
		"half a target": append(preamble(streamEgress), 10, 0, 'k'),
	} {
		st, err := p.ys.Open()
		if err != nil {
			t.Fatal(err)
		}
		p.write(st, b)
		_ = st.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := st.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		_ = st.Close()
	}
	if c.Err() != nil {
		t.Fatal("the session ended")
	}
}

// TestEgressOpenEndsWithItsContextThoughNoStreamIsAccepted: yamux itself would wait for the parent.
func TestEgressOpenEndsWithItsContextThoughNoStreamIsAccepted(t *testing.T) {
	s, _ := rawClient(t, ServerConfig{Config: Config{MaxEgress: 4 * acceptBacklog}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	errs := make(chan error, 2*acceptBacklog)
	within(t, 3*time.Second, "opening", func() {
		for range cap(errs) {
			go func() {
				_, err := s.OpenEgress(ctx, "kms.example:443")
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
	})
}

// TestEgressStreamsAreBounded: the library keeps what comes on each, so that their number is the enclave's memory.
func TestEgressStreamsAreBounded(t *testing.T) {
	s, p := rawClient(t, ServerConfig{Config: Config{MaxEgress: 2}})
	open := func() (net.Conn, error) {
		go func() {
			if st, err := p.ys.Accept(); err == nil {
				p.write(st, []byte{egressOK})
			}
		}()
		return s.OpenEgress(t.Context(), "kms.example:443")
	}
	for range 2 {
		if _, err := open(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.OpenEgress(t.Context(), "kms.example:443"); !errors.Is(err, ErrRefused) {
		t.Fatalf("one more: %v", err)
	}
}
