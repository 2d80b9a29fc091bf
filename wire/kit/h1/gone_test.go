package h1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"redoubt/wire/kit/h1"
)

// attended serves requests that wait for release, or for the end of their context, and answer with what it was.
func attended(t *testing.T, config *tls.Config) (address string, entered chan struct{}, release chan struct{}, gone chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	entered, release, gone = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s := &http.Server{
		ConnContext: h1.ConnContext, ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, stop := h1.Attend(r, time.Minute)
			defer stop()
			_, _ = io.Copy(io.Discard, r.Body)
			entered <- struct{}{}
			select {
			case <-ctx.Done():
				gone <- ctx.Err()
			case <-release:
				_, _ = io.WriteString(w, "answer")
			}
		}),
	}
	t.Cleanup(func() { _ = s.Close() })
	if config != nil {
		go func() { _ = s.Serve(h1.NewTLSListener(l, config, time.Minute)) }()
	} else {
		go func() { _ = s.Serve(h1.Listener{Listener: l}) }()
	}
	return address, entered, release, gone
}

const request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"

// dial sends a request, over TLS if config is the server's.
func dial(t *testing.T, address string, config *tls.Config) (tcp *net.TCPConn, c net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	if config != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return tcp, c
}

func eachKind(t *testing.T, test func(t *testing.T, config *tls.Config)) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	t.Run("plain", func(t *testing.T) { test(t, nil) })
	t.Run("TLS", func(t *testing.T) { test(t, &tls.Config{Certificates: s.TLS.Certificates}) })
}

func TestACallerThatHasSentAllGetsItsAnswer(t *testing.T) {
	eachKind(t, func(t *testing.T, config *tls.Config) {
		address, entered, release, gone := attended(t, config)
		_, c := dial(t, address, config)
		<-entered
		if half, ok := c.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			t.Fatal("not half closed")
		}
		select {
		case err := <-gone:
			t.Fatalf("the context ended: %v", err)
		case <-time.After(100 * time.Millisecond): // time to end wrongly
		}
		close(release)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "answer" {
			t.Fatalf("%q %v", body, err)
		}
	})
}

func TestAResetEndsTheContext(t *testing.T) {
	eachKind(t, func(t *testing.T, config *tls.Config) {
		address, entered, _, gone := attended(t, config)
		tcp, _ := dial(t, address, config)
		<-entered
		if err := tcp.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = tcp.Close()
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Fatal("the context lives on")
		}
	})
}

func TestTheWorkOnARequestEndsInTime(t *testing.T) {
	eachKind(t, func(t *testing.T, config *tls.Config) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		s := &http.Server{
			ConnContext: h1.ConnContext, ReadHeaderTimeout: time.Minute,
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx, stop := h1.Attend(r, time.Millisecond)
				defer stop()
				<-ctx.Done()
				if ctx.Value(http.ServerContextKey) == nil {
					t.Error("the values of the request's context are lost")
				}
				ended <- ctx.Err()
			}),
		}
		t.Cleanup(func() { _ = s.Close() })
		var strict net.Listener = h1.Listener{Listener: l}
		if config != nil {
			strict = h1.NewTLSListener(l, config, time.Minute)
		}
		go func() { _ = s.Serve(strict) }()
		dial(t, l.Addr().String(), config)
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended by %v", err)
		}
	})
}
