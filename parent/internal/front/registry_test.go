package front_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/wire"
	"redoubt/wire/kit/h1"
)

// client is one connection to a stack.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (s *stack) dial(t *testing.T) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{c, bufio.NewReader(c)}
}

// wantShed tells whether connections were counted, by reason.
func (s *stack) wantShed(t *testing.T, strangers, callers, refused int64) {
	t.Helper()
	for reason, want := range []int64{h1.ShedStranger: strangers, h1.ShedCaller: callers, h1.ShedRefused: refused} {
		if got := s.seen.shed[reason].Load(); got != want {
			t.Errorf("%v: %d counted, want %d", h1.Shed(reason), got, want)
		}
	}
}

func (c *client) ask(text string) (status int, closes bool) {
	_, _ = io.WriteString(c, text)
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, true
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Close
}

// ended reports whether the server has closed; it waits for that, as long as the connection's deadline.
func (c *client) ended() bool {
	_, err := io.Copy(io.Discard, c.r)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

const (
	healthRequest  = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	honestHeader   = "Host: x\r\nContent-Type: application/json\r\nAuthorization: Bearer key\r\n"
	enclavesAsKnow = "GET /enclaves HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n\r\n"
)

func honest() string {
	body := encode(doc(nil))
	return fmt.Sprintf("POST /v1/decrypt HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", honestHeader, len(body), body)
}

// guarded is a stack with a key and room for most connections.
func guarded(t *testing.T, most int, answer fakeenclave.Answer) *stack {
	t.Helper()
	auth := front.NewAuth(false)
	if err := auth.Load(strings.NewReader("api " + hash("key"))); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Auth, o.MaxConnections = auth, most
	return startStack(t, o, answer)
}

func TestIdleStrangersMakeRoomForACallerWithCredentials(t *testing.T) {
	for name, text := range map[string]string{
		"silent": "", "after a health check": healthRequest, "in the middle of a header": "GET /health HTTP/1.1\r\nHost",
		"in the middle of a body": "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, 50, fakeenclave.Echo)
			strangers := make([]*client, 50)
			for i := range strangers {
				strangers[i] = s.dial(t)
				if text == healthRequest {
					strangers[i].ask(text)
				} else {
					_, _ = io.WriteString(strangers[i], text)
				}
			}
			caller := s.dial(t)
			if status, _ := caller.ask(honest()); status != http.StatusOK {
				t.Fatalf("answered %d", status)
			}
			// In the middle of a request, which of them has been read by now is chance.
			if !strings.Contains(name, "middle") && !strangers[0].ended() {
				t.Error("the oldest stranger was kept")
			}
			s.wantShed(t, 1, 0, 0)
			if text == healthRequest {
				if status, _ := strangers[49].ask(healthRequest); status != http.StatusOK {
					t.Errorf("the newest stranger: %d", status)
				}
			}
			if status, _ := caller.ask(honest()); status != http.StatusOK {
				t.Errorf("the caller's second request: %d", status)
			}
		})
	}
}

func TestWithoutCredentialsAnAnswerEndsTheConnection(t *testing.T) {
	s := guarded(t, 50, fakeenclave.Echo)
	for _, text := range []string{
		"GET /enclaves HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat(" ", 20000),
	} {
		c := s.dial(t)
		if status, closes := c.ask(text); status != http.StatusUnauthorized || !closes {
			t.Errorf("%.40q: %d, close %t", text, status, closes)
		}
		if len(text) < 20000 {
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		}
		if !c.ended() {
			t.Errorf("%.40q: the connection is open", text)
		}
	}
	s.wantShed(t, 0, 0, 0) // an end of its own makes no room for anybody
}

// TestWhoEndsForANewConnection: idle callers with credentials end after every stranger, the longest idle first, and
// nobody whose request is in work.
func TestWhoEndsForANewConnection(t *testing.T) {
	release, working := make(chan struct{}), make(chan struct{}, 1)
	s := guarded(t, 4, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		working <- struct{}{}
		<-release
		fakeenclave.Echo(req, resp)
	})
	busy, first, second, stranger := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	_, _ = io.WriteString(busy, honest())
	<-working
	for _, c := range []*client{first, second, first} { // first was idle for a shorter time in the end
		if status, _ := c.ask(enclavesAsKnow); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	if status, _ := stranger.ask(healthRequest); status != http.StatusOK {
		t.Fatal(status)
	}
	for i, victim := range []*client{stranger, second, first} {
		if status, _ := s.dial(t).ask(enclavesAsKnow); status != http.StatusOK {
			t.Fatalf("newcomer %d: %d", i, status)
		}
		if !victim.ended() {
			t.Errorf("newcomer %d: another ended", i)
		}
	}
	s.wantShed(t, 1, 2, 0)
	close(release)
	resp, err := http.ReadResponse(busy.r, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the request in work: %v %v", resp, err)
	}
	resp.Body.Close()
}

func TestWithEveryRequestInWorkANewConnectionIsTurnedAway(t *testing.T) {
	release, working := make(chan struct{}), make(chan struct{}, 3)
	s := guarded(t, 3, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		working <- struct{}{}
		<-release
		fakeenclave.Echo(req, resp)
	})
	var callers []*client
	for range 3 {
		c := s.dial(t)
		callers = append(callers, c)
		_, _ = io.WriteString(c, honest())
		<-working
	}
	late := s.dial(t)
	if resp, err := http.ReadResponse(late.r, nil); err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v %v", resp, err)
	}
	s.wantShed(t, 0, 0, 1)
	close(release)
	for _, c := range callers {
		if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v %v", resp, err)
		}
	}
}
