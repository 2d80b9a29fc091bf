package h1_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire/kit/h1"
)

// limitServer serves over connections of which so many have room. A request to /wait is answered when its release is
// closed, and one with an Authorization has a known caller.
type limitServer struct {
	t       *testing.T
	address string
	config  *tls.Config // of clients; nil: plain
	release chan struct{}
	begun   chan struct{}
	shed    [h1.Sheds]atomic.Int64
}

func newLimitServer(t *testing.T, most int, secure bool) *limitServer {
	t.Helper()
	s := &limitServer{t: t, release: make(chan struct{}), begun: make(chan struct{}, 100)}
	limit := h1.NewLimit(most, func(why h1.Shed) { s.shed[why].Add(1) })
	server := &http.Server{
		ConnContext: limit.ConnContext, ReadHeaderTimeout: time.Minute,
		Handler: limit.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				h1.Known(r)
			}
			if r.URL.Path == "/wait" {
				s.begun <- struct{}{}
				<-s.release
			}
			_, _ = io.WriteString(w, "answer")
		})),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	under := limit.Listener(l)
	if secure {
		like := httptest.NewUnstartedServer(nil)
		like.StartTLS()
		t.Cleanup(like.Close)
		s.config = like.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		s.config.ServerName = "example.com"
		under = h1.NewTLSListener(under, &tls.Config{Certificates: like.TLS.Certificates}, time.Minute)
	} else {
		under = h1.Listener{Listener: under}
	}
	go func() { _ = server.Serve(under) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// client is one connection.
type client struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

func (s *limitServer) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.config != nil {
		c = tls.Client(c, s.config)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{Conn: c, in: bufio.NewReader(c), t: s.t}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) answered() bool {
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	return err == nil && string(body) == "answer"
}

// ended waits until the server has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if _, err := c.in.ReadByte(); err == nil {
		c.t.Fatal("the connection is open")
	} else if late, ok := err.(net.Error); ok && late.Timeout() { //nolint:errorlint // as net returns it
		c.t.Fatal("the connection was not closed")
	}
}

const (
	asStranger = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	asCaller   = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\n\r\n"
	toWait     = "GET /wait HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\n\r\n"
)

func TestConnectionsMakeRoomInTheirOrderAndNoRequestIsCutOff(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			s := newLimitServer(t, 4, secure)
			serving := s.dial()
			serving.send(toWait)
			<-s.begun
			caller := s.dial()
			caller.send(asCaller)
			slow := s.dial()
			slow.send("GET / HTTP/1.1\r\nHost")
			if !caller.answered() {
				t.Fatal("not answered")
			}
			stranger := s.dial()
			stranger.send(asStranger)
			if !stranger.answered() {
				t.Fatal("not answered")
			}
			// Each newcomer is served in the place of the next in order, and stays, since it has a request in work.
			for i, gone := range []*client{slow, stranger, caller} {
				c := s.dial()
				c.send(toWait)
				<-s.begun
				gone.ended()
				if n := s.shed[h1.ShedStranger].Load() + s.shed[h1.ShedCaller].Load(); n != int64(i+1) {
					t.Fatalf("%d made room", n)
				}
			}
			refused := s.dial()
			refused.neverTaken()
			if s.shed[h1.ShedStranger].Load() != 2 || s.shed[h1.ShedCaller].Load() != 1 || s.shed[h1.ShedRefused].Load() != 1 {
				t.Fatalf("shed %d, %d, %d", s.shed[0].Load(), s.shed[1].Load(), s.shed[2].Load())
			}
			close(s.release)
			if !serving.answered() {
				t.Fatal("a request in work was cut off")
			}
		})
	}
}

// neverTaken is ended, or a connection on which the handshake fails.
func (c *client) neverTaken() {
	c.t.Helper()
	if of, ok := c.Conn.(*tls.Conn); ok {
		if of.HandshakeContext(c.t.Context()) == nil {
			c.t.Fatal("the connection was taken")
		}
		return
	}
	c.ended()
}

func TestAConnectionThatEndsMakesRoom(t *testing.T) {
	s := newLimitServer(t, 1, false)
	for range 20 {
		c := s.dial()
		c.send("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		<-s.begun
		s.release <- struct{}{}
		if !c.answered() {
			t.Fatal("not answered")
		}
		c.ended()
	}
}
