package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/valyala/fasthttp"

	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
)

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return server, client
}

// until polls.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal(what)
		}
		<-time.After(time.Millisecond)
	}
}

func (c *conn) reads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting && !c.busy
}

// noted is a connection that a registry knows.
func noted(nc net.Conn) *conn {
	c := &conn{Conn: nc, registry: newRegistry(1, func(h1.Shed) {})}
	c.registry.add(c)
	return c
}

func TestShutdownLeavesARequestAlone(t *testing.T) {
	read := func(t *testing.T, c *conn, client net.Conn) {
		_, _ = io.WriteString(client, "G")
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(t *testing.T, c *conn, client net.Conn){
		"bytes were read": read,
		"being served": func(t *testing.T, c *conn, client net.Conn) {
			read(t, c, client)
			connState(c, fasthttp.StateActive)
		},
		"being served, the body too was read": func(t *testing.T, c *conn, client net.Conn) {
			read(t, c, client)
			connState(c, fasthttp.StateActive)
			read(t, c, client)
		},
		"a read has failed": func(t *testing.T, c *conn, _ net.Conn) {
			_ = c.SetReadDeadline(time.Unix(1, 0))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("read without bytes")
			}
		},
		"about to read, bytes have come": func(t *testing.T, c *conn, client net.Conn) {
			_, _ = io.WriteString(client, "G")
			until(t, "nothing comes", func() bool { return pending(c.Conn) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := tcpPair(t)
			c := noted(server)
			prepare(t, c, client)
			c.evict()
			if name == "about to read, bytes have come" {
				if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Errorf("%d bytes read, %v", n, err)
				}
			}
			if errors.Is(server.SetDeadline(time.Time{}), net.ErrClosed) {
				t.Fatal("it is closed")
			}
			if err := c.Close(); err != nil || !errors.Is(server.SetDeadline(time.Time{}), net.ErrClosed) {
				t.Errorf("by its own goroutine: %v", err)
			}
		})
	}
}

func TestCloseByItsOwnGoroutineClosesWhateverShutdownDoes(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, c *conn){
		"bytes were read": func(t *testing.T, c *conn) {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		},
		"bytes have come": func(t *testing.T, c *conn) {
			until(t, "nothing comes", func() bool { return pending(c.Conn) })
		},
		"after an answer": func(t *testing.T, c *conn) {
			for range 2 { // the head, and some of the body
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				connState(c, fasthttp.StateActive)
			}
		},
	} {
		for _, draining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, draining %t", name, draining), func(t *testing.T) {
				server, client := tcpPair(t)
				c := noted(server)
				_, _ = io.WriteString(client, "GET")
				prepare(t, c)
				ended, cancel := context.WithCancel(context.Background())
				cancel()
				if draining {
					if err := c.registry.drain(ended); !errors.Is(err, context.Canceled) {
						t.Errorf("drained with a connection: %v", err)
					}
				}
				if err := c.Close(); err != nil || !errors.Is(server.SetDeadline(time.Time{}), net.ErrClosed) {
					t.Errorf("it is open, %v", err)
				}
				if err := c.registry.drain(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAnIdleConnectionIsClosedByItsOwnGoroutine(t *testing.T) {
	for _, waits := range []bool{true, false} {
		server, _ := tcpPair(t)
		c := noted(server)
		done := make(chan error, 1)
		serve := func() {
			_, err := c.Read(make([]byte, 1))
			done <- errors.Join(err, c.Close())
		}
		if waits {
			go serve()
			until(t, "it does not read", c.reads)
		}
		c.evict()
		if !waits {
			go serve()
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read ended with %v", err)
		}
		if !errors.Is(server.SetDeadline(time.Time{}), net.ErrClosed) {
			t.Error("it is open")
		}
	}
}

// A connection whose answer was on its way when the shutdown began may not be told to close by that answer.
func TestAConnectionThatBecomesIdleDuringShutdownEnds(t *testing.T) {
	server, client := tcpPair(t)
	c := noted(server)
	_, _ = io.WriteString(client, "G")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	connState(c, fasthttp.StateActive)
	drained := make(chan error, 1)
	go func() { drained <- c.registry.drain(t.Context()) }()
	until(t, "no shutdown", c.registry.draining.Load)
	connState(c, fasthttp.StateIdle)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it waits for another request: %v", err)
	}
	if err := errors.Join(c.Close(), <-drained); err != nil {
		t.Error(err)
	}
}

// A connection may have been accepted just before the listener was closed. What its client has sent is served.
func TestAConnectionThatIsAcceptedDuringShutdownEnds(t *testing.T) {
	for name, sent := range map[string]string{"silent": "", "with a request": "G"} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(2, func(h1.Shed) {})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			r.open(ln)
			drained := make(chan error, 1)
			go func() { drained <- r.drain(t.Context()) }()
			until(t, "no shutdown", r.draining.Load)
			server, client := tcpPair(t)
			c := &conn{Conn: server, registry: r, used: true} // so that a Read that times out says so
			if !r.admit(c) {
				t.Fatal("not admitted")
			}
			r.shut(ln)
			if _, err := io.WriteString(client, sent); err != nil {
				t.Fatal(err)
			}
			until(t, "nothing comes", func() bool { return sent == "" || pending(server) })
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := c.Read(make([]byte, 1)); n != len(sent) || sent == "" && !errors.Is(err, net.ErrClosed) {
				t.Errorf("%d bytes read, %v", n, err)
			}
			select {
			case <-drained:
				t.Error("the shutdown has not waited")
			default:
			}
			if err := errors.Join(c.Close(), <-drained); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsServedAfterShutdown(t *testing.T) {
	s := New(Options{Observer: deaf{}, Log: slog.New(slog.DiscardHandler), MaxConnections: 1})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func TestPendingLooksBelowTLSAndThePROXYProtocol(t *testing.T) {
	server, client := tcpPair(t)
	wrapped := tls.Server(proxyproto.NewConn(server), &tls.Config{MinVersion: tls.VersionTLS13})
	if pending(wrapped) {
		t.Error("bytes before any were sent")
	}
	_, _ = io.WriteString(client, "x")
	until(t, "bytes are not seen", func() bool { return pending(wrapped) })
	if a, b := net.Pipe(); pending(a) || pending(b) {
		t.Error("bytes on what is no socket")
	}
}

// asker is a client's end of a kept connection.
type asker struct {
	net.Conn
	r *bufio.Reader
}

func (a *asker) ask(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(a, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func (a *asker) answer() error {
	_ = a.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(a.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

type deaf struct{}

func (deaf) Request(Route, int, string, time.Duration, trace.ID) {}
func (deaf) BatchItem(int, string)                               {}
func (deaf) ConnectionShed(h1.Shed)                              {}

// TestShutdownLosesNoRequestThatHasReachedThisHost is check 33 on kept connections: what was sent before the end began
// lies in the kernel, on connections that look idle, and is answered all the same.
func TestShutdownLosesNoRequestThatHasReachedThisHost(t *testing.T) {
	for range 3 {
		s := New(Options{
			Observer: deaf{}, Log: slog.New(slog.DiscardHandler), MaxConnections: 512, HeaderTimeout: 20 * time.Second,
			BodyTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute,
		})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		clients := make([]*asker, 300)
		for i := range clients {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			clients[i] = &asker{c, bufio.NewReader(c)}
			clients[i].ask(t)
			if err := clients[i].answer(); err != nil {
				t.Fatal(err)
			}
		}
		s.registry.mu.Lock()
		all := slices.Collect(maps.Keys(s.registry.conns)) // each has answered
		s.registry.mu.Unlock()
		for _, c := range all {
			until(t, "a connection does not become idle", c.reads)
		}
		for _, c := range clients {
			c.ask(t)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
		cancel()
		lost := 0
		for _, c := range clients {
			if c.answer() != nil {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d requests were lost", lost, len(clients))
		}
	}
}
