package h1

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// Between reports whether what was read ends with a whole request.
func (s *Scanner) Between() bool { return s.state == requestLine && len(s.held) == 0 }

// watched is a connection that knows whether it was closed.
type watched struct {
	net.Conn
	closed atomic.Bool
}

func (w *watched) Close() error {
	w.closed.Store(true)
	return nil
}

// TestARequestThatBeginsWhileItsConnectionIsChosenIsNotCutOff lets a request begin on the one connection that may end at
// the time at which another takes its place. One of the two wins: either the handler begins, and the connection stays, or
// the connection is closed, and the handler does not begin.
func TestARequestThatBeginsWhileItsConnectionIsChosenIsNotCutOff(t *testing.T) {
	served, ended, tries := 0, 0, 80_000
	if proctest.Race {
		tries = 10_000 // which meet as often
	}
	for i := 0; i < 10*tries && (i < tries || served == 0 || ended == 0); i++ {
		limit := NewLimit(1, func(Shed) {})
		old := &watched{}
		s, ok := limit.admit(old)
		if !ok {
			t.Fatal("there is no room for the first")
		}
		began, admitted, decided := false, false, make(chan struct{})
		handler := limit.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			<-decided
			began = true
		}))
		var both sync.WaitGroup
		ready := make(chan struct{})
		both.Go(func() {
			defer func() { _ = recover() }() // http.ErrAbortHandler, if the connection was closed first
			r := request(s)
			<-ready
			handler.ServeHTTP(nil, r)
		})
		both.Go(func() {
			defer close(decided)
			<-ready
			_, admitted = limit.admit(&watched{})
		})
		close(ready)
		both.Wait()
		switch {
		case admitted != old.closed.Load():
			t.Fatalf("room was made: %v; the old one was closed: %v", admitted, old.closed.Load())
		case began && admitted:
			t.Fatal("a connection was closed while a handler had its request")
		case began:
			served++
		default:
			ended++
		}
	}
	if served == 0 || ended == 0 {
		t.Errorf("%d requests were served, and %d connections ended before theirs", served, ended)
	}
}

// request is one on a connection.
func request(s *slot) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	return r.WithContext((&Limit{}).ConnContext(r.Context(), s))
}
