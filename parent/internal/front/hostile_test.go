package front_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

// raw sends text on a new connection and returns all that comes back.
func (s *stack) raw(t testing.TB, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("connection was reset: %v", err)
	}
	return string(b)
}

func TestTooLargeBodyIsReadAndDroppedSoThatTheClientSeesTheAnswer(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for _, size := range []int{1<<20 + 1, 2 << 20, 2<<20 + 1<<19} {
		// The client writes all of it before it reads.
		got := s.raw(t, fmt.Sprintf("POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", size, strings.Repeat(" ", size)))
		if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, `{"code":413,`) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%d bytes: %.300q", size, got)
		}
	}
	chunk := strings.Repeat(" ", 1<<16)
	body := strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk), 20) + "0\r\n\r\n"
	got := s.raw(t, "POST /v1/decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n"+body)
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "problem+json") {
		t.Errorf("chunked: %.300q", got)
	}
	if got := s.post(t, "/v1/decrypt", encode(doc(nil))); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestMalformedHTTPIsAnsweredAndEndsTheConnection(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for text, status := range map[string]string{
		"NONSENSE\r\n\r\n": "400",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n":                                                                         "400",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":                         "400",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n": "400",
		"GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 20<<10) + "\r\n\r\n":                                                       "431",
	} {
		got := s.raw(t, text)
		if !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
			t.Errorf("%.60q: %.200q, want %s", text, got, status)
		}
	}
	if got := s.post(t, "/decrypt", encode(doc(nil))); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestSlowLorisIsCutOffWhileOthersAreServed(t *testing.T) {
	o := options()
	o.HeaderTimeout, o.BodyTimeout = time.Second, time.Second
	s := startStack(t, o, fakeenclave.Echo)
	slow := []string{
		"", // nothing at all
		"POST /decrypt HTTP/1.1\r\nHost",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"vault",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat(" ", 20000),
		"POST /v1/decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
	}
	var wg sync.WaitGroup
	for _, text := range slow {
		for range 10 {
			wg.Go(func() {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				began := time.Now()
				_, _ = io.WriteString(c, text)
				stop := make(chan struct{})
				defer close(stop)
				go func() { // a byte now and then, to look alive
					for {
						select {
						case <-stop:
							return
						case <-time.After(20 * time.Millisecond):
							if _, err := c.Write([]byte("a")); err != nil {
								return
							}
						}
					}
				}()
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				b, _ := io.ReadAll(c)
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("%.40q held its connection for %v", text, took)
				}
				if len(b) > 0 && !bytes.HasPrefix(b, []byte("HTTP/1.1 408")) && !bytes.HasPrefix(b, []byte("HTTP/1.1 400")) {
					t.Errorf("%.40q: %.100q", text, b)
				}
			})
		}
	}
	for range 20 {
		if got := s.post(t, "/decrypt", encode(doc(nil))); got.status != 200 {
			t.Errorf("beside slow clients: %d", got.status)
		}
	}
	wg.Wait()
}

// TestAConnectionOnWhichNothingCameGetsNoAnswer: a client keeps spare connections, and would take the answer for that
// to the first request it sends.
func TestAConnectionOnWhichNothingCameGetsNoAnswer(t *testing.T) {
	o := options()
	o.HeaderTimeout = 50 * time.Millisecond
	s := startStack(t, o, fakeenclave.Echo)
	for sent, want := range map[string]string{"": "", "POST /decrypt": "HTTP/1.1 408"} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, sent)
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(got, []byte(want)) || want == "" && len(got) > 0 {
			t.Errorf("after %q: %.40q, %v", sent, got, err)
		}
	}
}

// TestEachAnswerIsItsOwn is check 23: fasthttp, the parser, the session and all our pools reuse memory.
func TestEachAnswerIsItsOwn(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	for w := range 32 {
		wg.Go(func() {
			for i := range 60 {
				mark := fmt.Sprintf("worker %d round %d ", w, i)
				value := mark + strings.Repeat(fmt.Sprint(w%10), (w*131+i*977)%9000)
				path, fields := "/decrypt", obj{"f": b64(value), "g": b64(mark)}
				if w%2 == 1 {
					path = "/v1/decrypt"
				}
				resp, err := client.Post(s.url+path, "application/json", strings.NewReader(encode(doc(obj{"fields": fields}))))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := `{"fields":{"f":"` + value + `","g":"` + mark + `"},"errors":`
				if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(b), want) || len(b) != len(want)+3 {
					t.Errorf("%s: %d %.200s %v", mark, resp.StatusCode, b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all strings.Builder
	for i := range 20 {
		b := encode(doc(obj{"fields": obj{"f": b64(fmt.Sprint("value ", i))}}))
		fmt.Fprintf(&all, "POST /v1/decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	for i := range 20 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if want := fmt.Sprintf(`{"fields":{"f":"value %d"},"errors":{}}`, i); string(b) != want {
			t.Errorf("%s, want %s", b, want)
		}
	}
}

// TestSentinelsAppearNowhere is check 22 for this tier: values of requests and answers in logs, metrics or goroutine
// dumps, whatever happens to the request.
func TestSentinelsAppearNowhere(t *testing.T) {
	const sentinel = "S3NTINEL"
	o := options()
	o.AccessLog = true
	var mode atomic.Int64
	s := startStack(t, o, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		switch m := mode.Load(); {
		case m == 0:
			fakeenclave.Echo(req, resp)
		case int(m) < wire.Codes:
			resp.Code = wire.Code(m)
		}
	})
	for m := range int64(wire.Codes) {
		mode.Store(m)
		for _, change := range []obj{
			nil,
			{"vault_id": sentinel},
			{"vault_id": sentinel + strings.Repeat("x", 300)},
			{"region": sentinel},
			{"suite_id": sentinel},
			{"encrypted_private_key": sentinel},
			{"fields": obj{sentinel: sentinel}},
			{"fields": obj{"f": b64(sentinel)}},
			{"expressions": obj{sentinel: sentinel}},
			{"encoding": sentinel},
			{sentinel: sentinel},
			{"key_context": sentinel},
			{"include": []string{sentinel}},
		} {
			for _, path := range []string{"/decrypt", "/v1/decrypt"} {
				got := s.post(t, path, encode(doc(change)))
				if got.status != 200 && strings.Contains(got.body, sentinel) {
					t.Errorf("%s answers with input: %s", path, got.body)
				}
			}
		}
	}
	_ = s.raw(t, "GET /"+sentinel+" HTTP/1.1\r\nHost: "+sentinel+"\r\n"+sentinel+"\r\n\r\n")
	s.do(t, "GET", "/v1/attestation?nonce="+sentinel, "", "")
	if strings.Contains(s.log.String(), sentinel) {
		t.Errorf("log: %s", s.log)
	}
	var dump bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 2); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(dump.String(), sentinel) {
		t.Error("goroutine dump")
	}
}

// broken panics with what must not get out.
type broken struct{ front.Upstream }

func (broken) Do(context.Context, pool.Ask, wire.LaneMessage) (*session.Call, error) {
	panic("S3NTINEL")
}

func TestPanicIsAnInternalErrorAndLeaksNothing(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo, func(o *front.Options) { o.Upstream = broken{} })
	if got := s.post(t, "/decrypt", encode(doc(nil))); got.status != 500 || strings.Contains(got.body, "S3NTINEL") {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+encode(doc(nil))+`]}`)
	want := `{"items":[{"status":500,"error":{"code":"internal","message":"an internal error occurred"}}]}`
	if got.status != 200 || got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	if strings.Contains(s.log.String(), "S3NTINEL") || !strings.Contains(s.log.String(), "panicked") {
		t.Errorf("log: %s", s.log)
	}
}

func TestDrainLosesNoAcceptedRequest(t *testing.T) {
	release := make(chan struct{})
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		<-release
		fakeenclave.Echo(req, resp)
	})
	var wg sync.WaitGroup
	const n = 50
	for range n {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			resp, err := client.Post(s.url+"/decrypt", "application/json", strings.NewReader(encode(doc(nil))))
			if err != nil {
				t.Errorf("lost: %v", err)
				return
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !resp.Close {
				t.Errorf("%d %s, close %v", resp.StatusCode, b, resp.Close)
			}
		})
	}
	fakeenclave.Wait(t, "all to be in flight", func() bool { return s.enclave.Requests.Load() == n })
	s.server.StartDraining()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		done <- s.server.Shutdown(ctx)
	}()
	fakeenclave.Wait(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	wg.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	o := options()
	o.IdleTimeout = 100 * time.Millisecond
	s := startStack(t, o, fakeenclave.Echo)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c) // ends with a close, not a reset, and without a second answer
	if err != nil || !strings.HasSuffix(string(b), `{"status":"ok"}`) {
		t.Errorf("%q %v", b, err)
	}
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	o := options()
	o.WriteTimeout = 200 * time.Millisecond
	var closed atomic.Bool
	s := startStack(t, o, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		resp.Add(wire.Result{Kind: wire.ResultField, ValueKind: wire.ValueString, Value: make([]byte, 300<<10)})
	})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	items := strings.TrimSuffix(strings.Repeat(encode(doc(nil))+",", 40), ",")
	b := `{"items":[` + items + `]}` // some 70 MiB of answer, escaped
	if _, err := fmt.Fprintf(c, "POST /v1/decrypt/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(b), b); err != nil {
		t.Fatal(err)
	}
	go func() { // writes fail once the server has given up
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				closed.Store(true)
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	fakeenclave.Wait(t, "the connection to be cut", closed.Load)
}

func TestBatchAnswerIsBounded(t *testing.T) {
	o := options()
	o.BatchFanOut = 2 // all of them at once would fill the session's queue of answers
	s := startStack(t, o, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		resp.Add(wire.Result{Kind: wire.ResultField, ValueKind: wire.ValueString, Value: make([]byte, 1<<20)})
	})
	items := strings.TrimSuffix(strings.Repeat(encode(doc(nil))+",", 60), ",") // 6 MiB each, escaped
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+items+`]}`)
	ok, over := strings.Count(got.body, `"status":200`), strings.Count(got.body, `{"status":413,`)
	if got.status != 200 || ok+over != 60 || over == 0 || ok < 10 {
		t.Errorf("%d: %d answered, %d refused", got.status, ok, over)
	}
}
