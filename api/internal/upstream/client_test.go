package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/wire"
	"redoubt/wire/kit/trace"
)

func client(t *testing.T, url string, timeout time.Duration) *Client {
	t.Helper()
	c, err := New(Config{URL: url, Region: "us-east-1", Timeout: timeout, Token: "t0ken"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestRequestIsTheParentsJSON(t *testing.T) {
	var got map[string]any
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/decrypt" || r.Header.Get("Authorization") != "Bearer t0ken" {
			t.Errorf("%s, authorization %t", r.URL.Path, r.Header.Get("Authorization") != "")
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"fields":{"email":"a@b","age":7},"errors":{"city":{"code":"decrypt_failed","message":"m"},`+
			`"n":{"code":"expression_failed","message":"m","kind":"syntax","position":{"line":2,"column":7}}}}`)
	})
	res, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{
		VaultID: "v_1", SuiteID: []byte("HPKE"), WrappedKey: []byte{1, 2}, Encoding: 3, KeyContext: true,
		Fields: map[string][]byte{"email": {3, 255}}, Expressions: map[string]string{"age": "7"},
		Include: &[]string{}, ReplyKey: &ReplyKey{SuiteID: "s", PublicKey: "p"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"encoding":"3","encrypted_private_key":"AQI=","expressions":{"age":"7"},"fields":{"email":"A/8="},` +
		`"include":[],"key_context":1,"region":"us-east-1","reply_key":{"public_key":"p","suite_id":"s"},` +
		`"report_access":true,"suite_id":"SFBLRQ==","vault_id":"v_1"}`
	if text, _ := json.Marshal(got); string(text) != want {
		t.Fatalf("got  %s\nwant %s", text, want)
	}
	if string(res.Fields["email"]) != `"a@b"` || string(res.Fields["age"]) != "7" || res.Errors["city"].Code != "decrypt_failed" {
		t.Fatalf("result %+v", res)
	}
	if n := res.Errors["n"]; n.Kind != "syntax" || n.Position == nil || *n.Position != (Position{Line: 2, Column: 7}) {
		t.Fatalf("failure %+v", n)
	}
	email := res.Fields["email"]
	res.Wipe()
	if string(email) != "\x00\x00\x00\x00\x00" {
		t.Fatal("value not wiped")
	}
}

func TestAnswersMapToCodes(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
		retry  string
		code   wire.Code
		wait   time.Duration
	}{
		"denied":             {403, `{"code":"key_denied"}`, "", wire.KeyDenied, 0},
		"corrupt":            {422, `{"code":"decrypt_failed"}`, "", wire.DecryptFailed, 0},
		"overloaded":         {503, `{"code":"overloaded"}`, "2", wire.Overloaded, 2 * time.Second},
		"throttled":          {503, `{"code":"kms_throttled"}`, "1", wire.KMSThrottled, time.Second},
		"kms unavailable":    {503, `{"code":"kms_unavailable"}`, "x", wire.KMSUnavailable, 0},
		"deadline":           {504, `{"code":"deadline_exceeded"}`, "", wire.DeadlineExceeded, 0},
		"shutting down":      {503, `{"code":"shutting_down"}`, "-1", wire.ShuttingDown, 0},
		"unauthenticated":    {401, `{"code":"unauthenticated"}`, "", wire.Unauthenticated, 0},
		"internal":           {500, `{"code":"internal"}`, "", wire.Internal, 0},
		"unknown code":       {418, `{"code":"teapot"}`, "", wire.Internal, 0},
		"a load balancer's":  {502, `<html>`, "", wire.Internal, 0},
		"ok is no error":     {403, `{"code":"ok"}`, "", wire.KeyDenied, 0},
		"redirect":           {302, ``, "", wire.Internal, 0},
		"not JSON":           {200, `<html>`, "", wire.Internal, 0},
		"no fields":          {200, `{"errors":{}}`, "", wire.Internal, 0},
		"reference's errors": {200, `{"fields":{},"errors":["text"]}`, "", wire.Internal, 0},
		"forever":            {503, `{"code":"overloaded"}`, "99999999", wire.Overloaded, maxRetryAfter},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.retry)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{})
			var e *Error
			if !errors.As(err, &e) || e.Code != c.code || e.RetryAfter != c.wait {
				t.Fatalf("err = %v (%+v)", err, e)
			}
		})
	}
}

func TestNoEnclaveNoParentAndAParentThatStopsAreToldApart(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"urn:redoubt:problem:no_enclave","code":"no_enclave"}`: "no_enclave", `{"code":"shutting_down"}`: "shutting_down",
		``: "parent_unavailable", `<html>`: "parent_unavailable", `{"code":"of another service"}`: "parent_unavailable",
	} {
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusBadGateway} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			})
			_, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{})
			var e *Error
			if !errors.As(err, &e) || e.Name() != want || (e.Code == wire.ShuttingDown) != (want == "shutting_down") {
				t.Errorf("%d %s: %v, want %s", status, body, err, want)
			}
		}
	}
}

func TestDeadConnectionIsRetriedOnce(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
			return
		}
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	})
	c := client(t, s.URL, 0)
	for range 2 {
		if _, err := c.Decrypt(t.Context(), &Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := calls.Load(); n != 3 {
		t.Fatalf("%d calls, want 3", n)
	}
}

func TestSecondDeadConnectionIsAnError(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	_, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{})
	var e *Error
	if !errors.As(err, &e) || e.Name() != "parent_unavailable" || calls.Load() != 2 {
		t.Fatalf("err = %v after %d calls", err, calls.Load())
	}
}

func TestSilentParentEndsAtTheDeadline(t *testing.T) {
	block := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	defer close(block)
	_, err := client(t, s.URL, 50*time.Millisecond).Decrypt(t.Context(), &Request{})
	var e *Error
	if !errors.As(err, &e) || e.Code != wire.DeadlineExceeded {
		t.Fatalf("err = %v", err)
	}
}

func TestAbsentParentIsUnavailableAndNamesNoAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	c := client(t, "http://"+addr, 0)
	_, err = c.Decrypt(t.Context(), &Request{})
	var e *Error
	if !errors.As(err, &e) || e.Name() != "parent_unavailable" || strings.Contains(err.Error(), addr) {
		t.Fatalf("err = %v", err)
	}
	if c.Ready(t.Context()) == nil {
		t.Fatal("an absent parent is ready")
	}
}

func TestConnectionIsReused(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			return
		}
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := client(t, s.URL, 0)
	for range 20 {
		if _, err := c.Decrypt(context.Background(), &Request{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Fatalf("%d connections for 40 requests", n)
	}
}

func TestBadURLsAreRefused(t *testing.T) {
	for _, u := range []string{"", "localhost:8080", "ftp://x", "http://"} {
		if _, err := New(Config{URL: u}); err == nil {
			t.Errorf("%q accepted", u)
		}
	}
}

func TestTheParentIsToldRequestAndTrace(t *testing.T) {
	var got http.Header
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	})
	ask := func(ctx context.Context) {
		t.Helper()
		if _, err := client(t, s.URL, 0).Decrypt(ctx, &Request{}); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := trace.Begin([]string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, []string{"a=1"}, nil)
	r.ID = "mine"
	ask(trace.With(t.Context(), &r))
	if got.Get("Traceparent") != string(r.Append(nil)) || got.Get("Tracestate") != "a=1" || got.Get("X-Request-Id") != "mine" {
		t.Errorf("%v", got)
	}
	ask(t.Context())
	for _, name := range []string{"Traceparent", "Tracestate", "X-Request-Id"} {
		if got[name] != nil {
			t.Errorf("%s: %q of no request", name, got[name])
		}
	}
}

// asks serves a parent that remembers which requests asked for a report, and answers with answer.
func asks(t *testing.T, answer func(report bool) (int, string)) (*Client, func() []bool) {
	t.Helper()
	var mu sync.Mutex
	var seen []bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Report bool `json:"report_access"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		mu.Lock()
		seen = append(seen, body.Report)
		mu.Unlock()
		status, text := answer(body.Report)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
	return client(t, s.URL, 0), func() []bool {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestTheReportIsTheParents(t *testing.T) {
	c, seen := asks(t, func(bool) (int, string) {
		return 200, `{"fields":{},"errors":{},"access":{"x":{"reads":["a","b"],"raw":["a"]}}}`
	})
	res, err := c.Decrypt(t.Context(), &Request{Expressions: map[string]string{"x": "a"}})
	if err != nil || len(res.Access) != 1 || !slices.Equal(res.Access["x"].Reads, []string{"a", "b"}) ||
		!slices.Equal(res.Access["x"].Raw, []string{"a"}) {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := c.Decrypt(t.Context(), &Request{}); err != nil || !slices.Equal(seen(), []bool{true, false}) {
		t.Errorf("asked %v, %v; want a report for expressions alone", seen(), err)
	}
}

// TestAParentWithoutReportsIsAskedOnceMore: it refuses a member that it does not know. A request that is wrong in itself stays refused.
func TestAParentWithoutReportsIsAskedOnceMore(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(report bool) (int, string)
		asked  []bool
		ok     bool
	}{
		"an earlier parent": {func(report bool) (int, string) {
			if report {
				return 422, `{"code":"bad_request"}`
			}
			return 200, `{"fields":{},"errors":{}}`
		}, []bool{true, false}, true},
		"an earlier enclave": {func(bool) (int, string) {
			return 200, `{"fields":{},"errors":{},"access":null}`
		}, []bool{true}, true},
		"wrong in itself": {func(bool) (int, string) { return 400, `{"code":"bad_request"}` }, []bool{true, false}, false},
		"denied":          {func(bool) (int, string) { return 403, `{"code":"key_denied"}` }, []bool{true}, false},
	} {
		c, seen := asks(t, tc.answer)
		res, err := c.Decrypt(t.Context(), &Request{Expressions: map[string]string{"x": "a"}})
		if (err == nil) != tc.ok || !slices.Equal(seen(), tc.asked) {
			t.Errorf("%s: %v after %v", name, err, seen())
		}
		if err == nil && res.Access != nil {
			t.Errorf("%s: a report came from nowhere", name)
		}
	}
}

// TestTheDocumentNamesEveryKind: the OpenAPI document is made from the tag, the kinds are the wire's.
func TestTheDocumentNamesEveryKind(t *testing.T) {
	f, _ := reflect.TypeFor[FieldError]().FieldByName("Kind")
	var kinds []string
	for k := wire.ExpressionUntold + 1; int(k) < wire.ExpressionKinds; k++ {
		kinds = append(kinds, k.String())
	}
	if got, want := f.Tag.Get("enum"), strings.Join(kinds, ","); got != want {
		t.Errorf("the document has %q, the wire %q", got, want)
	}
}

func TestACallerThatIsGoneEndsItsRequest(t *testing.T) {
	entered := make(chan struct{}, 2)
	var first atomic.Bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if first.CompareAndSwap(false, true) {
			entered <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	})
	c := client(t, s.URL, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	_, err := c.Decrypt(ctx, &Request{})
	var e *Error
	if !errors.As(err, &e) || e.Code != wire.DeadlineExceeded {
		t.Fatalf("err = %v", err)
	}
	if _, err := c.Decrypt(t.Context(), &Request{}); err != nil {
		t.Fatalf("the next request: %v", err)
	}
}

// answering serves connections that read a request's header and part of its body, write text and end with reset.
func answering(t *testing.T, text string, reset bool) (url string, conns *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conns = new(atomic.Int32)
	answer := func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			if reset {
				return // with bytes that nobody has read
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4096) // so that a body does not fit
			}
			go answer(c)
		}
	}()
	return "http://" + l.Addr().String(), conns
}

func TestAnAnswerThatComesBeforeTheBodyHasGoneCounts(t *testing.T) {
	url, conns := answering(t, "HTTP/1.1 503 x\r\nContent-Length: 21\r\n\r\n"+`{"code":"overloaded"}`, true)
	_, err := client(t, url, 0).Decrypt(t.Context(), &Request{Fields: map[string][]byte{"a": make([]byte, 6<<20)}})
	var e *Error
	if !errors.As(err, &e) || e.Code != wire.Overloaded || conns.Load() != 1 {
		t.Fatalf("err = %v after %d connections", err, conns.Load())
	}
}

// TestBytesThatNobodyAskedForAreNoAnswer: what follows an answer is not taken for that to the next request.
func TestBytesThatNobodyAskedForAreNoAnswer(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n" + `{"fields":{},"errors":{}}`
	url, conns := answering(t, ok+ok, false)
	c := client(t, url, 0)
	for range 3 {
		if _, err := c.Decrypt(t.Context(), &Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 3 {
		t.Fatalf("%d connections for 3 requests", n)
	}
}

func TestInformationalAnswersArePassedOver(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, `{"fields":{"a":1},"errors":{}}`)
	})
	res, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{})
	if err != nil || string(res.Fields["a"]) != "1" {
		t.Fatalf("%+v, %v", res, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for status, size := range map[int]int{http.StatusOK: maxAnswer, http.StatusServiceUnavailable: maxErrorAnswer} {
		for over := range 2 {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				text := `{"fields":{},"errors":{},"code":"overloaded"}`
				_, _ = io.WriteString(w, text+strings.Repeat(" ", size-len(text)+over))
			})
			_, err := client(t, s.URL, 0).Decrypt(t.Context(), &Request{})
			if errors.Is(err, errTooLarge) != (over == 1) {
				t.Errorf("%d with %d bytes: %v", status, size+over, err)
			}
		}
	}
}

func TestTheParentsCertificateIsChecked(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, tc := range map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"known": {&tls.Config{RootCAs: roots}, true}, "of the system": {nil, false}, "of nobody": {&tls.Config{RootCAs: x509.NewCertPool()}, false},
		"of another name": {&tls.Config{RootCAs: roots, ServerName: "other.invalid"}, false},
	} {
		c, err := New(Config{URL: s.URL, TLS: tc.config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		_, err = c.Decrypt(t.Context(), &Request{})
		var e *Error
		if tc.ok && err != nil || !tc.ok && (!errors.As(err, &e) || e.Name() != "parent_unavailable") {
			t.Errorf("roots %s: %v", name, err)
		}
	}
}

func TestAnswersAreWiped(t *testing.T) {
	resp := fasthttp.AcquireResponse()
	resp.SetBodyString("value")
	body := resp.Body()
	release(resp)
	if string(body[:5]) == "value" {
		t.Fatal("the body is still there")
	}
}
