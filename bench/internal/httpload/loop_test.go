package httpload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/bench/internal/measure"
)

// testLoad is a load of n callers on a server, with one request whose answer must be {"fields":{"a":"1"}}.
func testLoad(t *testing.T, n int, handler http.HandlerFunc, change ...func(*http.Server)) *Load {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	for _, edit := range change {
		edit(server.Config)
	}
	server.Start()
	t.Cleanup(server.Close)
	return loadOn(t, n, server.URL)
}

func loadOn(t *testing.T, n int, url string) *Load {
	t.Helper()
	endpoint, err := NewEndpoint(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{Endpoint: endpoint}
	raw, err := target.post("/", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{raw: raw, want: []map[string]string{{"a": "1"}}}
	l := NewLoad(target, &Source{requests: []*Request{r}}, n, 1)
	t.Cleanup(l.Close)
	return l
}

const right = `{"fields":{"a":"1"},"errors":{}}`

// twoArrivals are one at the start, and one as soon as gone is set.
type twoArrivals struct {
	sent int
	gone atomic.Bool
}

func (a *twoArrivals) due(now time.Duration) (time.Duration, bool) {
	if a.sent == 0 || a.sent == 1 && a.gone.Load() {
		a.sent++
		return now, true
	}
	return 0, false
}

func (a *twoArrivals) next() (time.Duration, bool) { return time.Hour, a.sent < 2 }

func TestALineThatTheServerClosesUnusedIsOpenedAgain(t *testing.T) {
	var a twoArrivals
	var opened, asked, answered atomic.Int64
	both := make(chan struct{})
	l := testLoad(t, 2, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 2 {
			close(both)
		}
		<-both // on a line each
		_, _ = io.WriteString(w, right)
	}, func(s *http.Server) {
		s.ReadHeaderTimeout = 10 * time.Millisecond
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				opened.Add(1)
			case http.StateClosed: // the line that nothing was sent on
				a.gone.Store(true)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := l.loop(ctx, &a, false, func(o measure.Outcome, _, _, _ time.Duration) {
		if o == measure.OK {
			answered.Add(1)
		}
	})
	if err != nil || answered.Load() != 2 || opened.Load() != 3 {
		t.Errorf("%d answered on %d connections, %v", answered.Load(), opened.Load(), err)
	}
}

func TestARequestOnALineThatTheServerGivesUpIsSentOnceMore(t *testing.T) {
	for _, gone := range []int{2, 100} { // connections that the server closes instead of answering the first request
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for i := 0; ; i++ {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					for r := bufio.NewReader(c); ; {
						req, err := http.ReadRequest(r)
						if err != nil || i < gone {
							return
						}
						_, _ = io.Copy(io.Discard, req.Body)
						_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(right), right)
					}
				}()
			}
		}()
		l := loadOn(t, 2, "http://"+ln.Addr().String())
		got, err := l.ClosedCount(t.Context(), 20)
		if again := gone == 2; again && (err != nil || got.N != 20) || !again && err == nil {
			t.Errorf("%d connections given up: %+v, %v", gone, got, err)
		}
	}
}

func TestAClosedLoopKeepsEachCallerBusy(t *testing.T) {
	const callers = 5
	var together, most atomic.Int64
	all := make(chan struct{})
	var once sync.Once
	l := testLoad(t, callers, func(w http.ResponseWriter, _ *http.Request) {
		if n := together.Add(1); n == callers {
			most.Store(n)
			once.Do(func() { close(all) })
		}
		<-all // until each has asked once
		together.Add(-1)
		_, _ = io.WriteString(w, right)
	})
	r, err := l.ClosedCount(t.Context(), 100)
	if err != nil || r.N != 100 || most.Load() != callers {
		t.Errorf("%v: %d answered, %d together", err, r.N, most.Load())
	}
	if r, err = l.Closed(t.Context(), 20*time.Millisecond); err != nil || r.N == 0 {
		t.Errorf("%v: %d answered", err, r.N)
	}
}

// TestAStallIsCountedForAllThatWaitedForALine: as of every open loop, latency is counted from when a request was due.
func TestAStallIsCountedForAllThatWaitedForALine(t *testing.T) {
	const stall = 100 * time.Millisecond
	var n atomic.Int64
	l := testLoad(t, 1, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			<-time.After(stall)
		}
		_, _ = io.WriteString(w, right)
	})
	r, err := l.Open(t.Context(), measure.OpenOptions{Schedule: measure.Schedule{Rate: 1000, Even: true}, Duration: 2 * stall})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.By[measure.OK].N(); got != 200 || r.Offered != 200 {
		t.Errorf("%d answered of %d offered, want 200", got, r.Offered)
	}
	// A quarter of them was due in the first half of the stall, and so waited for half of it or more.
	if p76 := r.By[measure.OK].Quantile(0.76); p76 < 45_000 {
		t.Errorf("p76 is %v µs: the stall was left out", p76)
	}
}

func TestRefusalsAreOutcomesOfALoopAndEndOneThatCounts(t *testing.T) {
	var n atomic.Int64
	l := testLoad(t, 3, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 3 {
		case 0:
			_, _ = io.WriteString(w, right)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusGatewayTimeout)
		}
	})
	r, err := l.Open(t.Context(), measure.OpenOptions{
		Schedule: measure.Schedule{Rate: 3000, Even: true}, Duration: 100 * time.Millisecond,
	})
	if err != nil || r.By[measure.OK].N() != 100 || r.By[measure.Refused].N() != 100 || r.By[measure.Expired].N() != 100 {
		t.Errorf("%v: %d %d %d", err, r.By[measure.OK].N(), r.By[measure.Refused].N(), r.By[measure.Expired].N())
	}
	closed, err := l.Closed(t.Context(), 50*time.Millisecond)
	if err != nil || closed.N < 10 || closed.Hist.N() != closed.N || max(closed.Refused-2*closed.N, 2*closed.N-closed.Refused) > 2 {
		t.Errorf("%v: %d answered, %d refused, of which two for each answer", err, closed.N, closed.Refused)
	}
	var status *StatusError
	if _, err := l.ClosedCount(t.Context(), 10); !errors.As(err, &status) {
		t.Errorf("a loop that counts goes on: %v", err)
	}
}

func TestAWrongAnswerOrALostConnectionEndsTheRun(t *testing.T) {
	l := testLoad(t, 2, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"fields":{"a":"2"}}`) })
	if _, err := l.ClosedCount(t.Context(), 10); !errors.Is(err, ErrAnswer) {
		t.Errorf("a wrong answer: %v", err)
	}
	l = testLoad(t, 2, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := l.ClosedCount(t.Context(), 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a lost connection: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l = testLoad(t, 2, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.WriteString(w, right)
	})
	if _, err := l.Closed(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled run: %v", err)
	}
}

func TestConnectionsThatTheServerEndsAreMadeAgain(t *testing.T) {
	l := testLoad(t, 2, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, right)
	})
	if r, err := l.ClosedCount(t.Context(), 20); err != nil || r.N != 20 {
		t.Errorf("%v: %d answered", err, r.N)
	}
}

// TestAnswersAreReadInWhateverPiecesTheyCome, by the loop and by a connection of its own, with a length and in chunks.
func TestAnswersAreReadInWhateverPiecesTheyCome(t *testing.T) {
	length := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(right), right)
	chunked := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
		right[:5], len(right)-5, right[5:])
	for _, text := range []string{length, chunked} {
		for i := range len(text) {
			if _, whole, err := parse([]byte(text[:i])); whole || err != nil {
				t.Fatalf("the first %d bytes: %v, %v", i, whole, err)
			}
		}
		a, whole, err := parse([]byte(text + "more"))
		if !whole || err != nil || string(a.body) != right || a.length != len(text) {
			t.Errorf("%v %v: %d bytes, %q", whole, err, a.length, a.body)
		}
	}
	for _, text := range []string{
		"HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", strings.Repeat("x", maxHead+1),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
	} {
		if _, _, err := parse([]byte(text)); !errors.Is(err, errHTTP) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// TestALargeRequestWaitsForTheSocket: the loop's sockets do not block.
func TestALargeRequestWaitsForTheSocket(t *testing.T) {
	got := make(chan int64, 1)
	l := testLoad(t, 1, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
		_, _ = io.WriteString(w, right)
	})
	body := strings.Repeat(" ", 32<<20)
	r := l.source.requests[0]
	r.raw = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := l.ClosedCount(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != int64(len(body)) {
		t.Errorf("%d bytes of %d", n, len(body))
	}
}

func TestUnreachableIsSaidAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	l := testLoad(t, 1, func(http.ResponseWriter, *http.Request) {})
	l.endpoint.address = address
	if _, err := l.Closed(t.Context(), time.Minute); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("%v", err)
	}
}
