package front_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/kit/trace"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childVariable); role != "" {
		beChild(role)
	}
	goleak.VerifyTestMain(m,
		// fasthttp's clock runs for the life of the process, its worker pool's cleaner ends up to 10 s after Shutdown.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// nothing observes nothing, and remembers the last request.
type nothing struct {
	mu   sync.Mutex
	last string

	exemplar trace.ID // of the last request

	shed [h1.Sheds]atomic.Int64

	notKept atomic.Int64
}

func (n *nothing) Request(r front.Route, status int, code string, _ time.Duration, exemplar trace.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.exemplar = exemplar
	n.last = fmt.Sprint(r, " ", status, " ", code)
}
func (*nothing) BatchItem(int, string)      {}
func (n *nothing) ConnectionShed(s h1.Shed) { n.shed[s].Add(1) }
func (*nothing) SessionOpened()             {}
func (*nothing) SessionLost()               {}
func (*nothing) DialFailed()                {}
func (*nothing) SessionPanicked()           {}
func (*nothing) Retried()                   {}
func (*nothing) NotRetried()                {}
func (*nothing) CredentialsPushed(bool)     {}
func (*nothing) DomainHandedOver(bool)      {}
func (n *nothing) DomainNotKept()           { n.notKept.Add(1) }
func (*nothing) PingTook(time.Duration)     {}
func (n *nothing) lastExemplar() trace.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.exemplar
}
func (n *nothing) lastRequest() string { n.mu.Lock(); defer n.mu.Unlock(); return n.last }

// stack is a front, its pool and its fake enclave.
type stack struct {
	url     string
	addr    string
	server  *front.Server
	pool    *pool.Pool
	enclave *fakeenclave.Enclave
	log     *proctest.Buffer
	seen    *nothing
	ready   []front.Check
}

func options() front.Options {
	return front.Options{
		RequestTimeout: time.Minute, BatchTimeout: time.Minute, HeaderTimeout: 20 * time.Second,
		BodyTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute,
		MaxConnections: 512, BatchFanOut: 16,
	}
}

// startStack serves o over an enclave that answers; without an answer there is no enclave.
func startStack(t testing.TB, o front.Options, answer fakeenclave.Answer, more ...func(*front.Options)) *stack {
	t.Helper()
	s := &stack{log: &proctest.Buffer{}, seen: &nothing{}}
	s.pool = pool.New(pool.Options{
		Sessions: 2, MaxInFlight: 1000, PingEvery: time.Second, RetryMax: 100 * time.Millisecond,
		Observer: s.seen, Log: slog.New(slog.DiscardHandler),
	})
	if answer != nil {
		s.enclave = fakeenclave.Start(t, answer)
		if err := s.pool.Set([]string{s.enclave.URL}); err != nil {
			t.Fatal(err)
		}
		fakeenclave.Wait(t, "the enclave", s.pool.Ready)
	}
	o.Upstream, o.Observer = s.pool, s.seen
	o.Log = slog.New(slog.NewJSONHandler(s.log, nil))
	o.Ready = func() []front.Check {
		return append([]front.Check{{Name: "enclave_ready", OK: s.pool.Ready()}}, s.ready...)
	}
	o.Enclaves = func(dst []byte) []byte { return append(dst, "[]"...) }
	for _, f := range more {
		f(&o)
	}
	s.server = front.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	s.url = "http://" + s.addr
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := s.pool.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

type obj = map[string]any

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// doc is a valid request with changes; a nil value deletes a key.
func doc(changes obj) obj {
	m := obj{
		"vault_id": "v_1", "region": "us-east-1", "suite_id": "SFBLRQARAAIAAg==",
		"encrypted_private_key": b64("wrapped"), "fields": obj{"ssn": b64("123-45-6789")},
	}
	for k, v := range changes {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return m
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type reply struct {
	status int
	body   string
	header http.Header
}

func (s *stack) do(t testing.TB, method, path, contentType, body string) reply {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(b), resp.Header}
}

func (s *stack) post(t testing.TB, path, body string) reply {
	t.Helper()
	return s.do(t, "POST", path, "application/json", body)
}

// TestReferenceHTTP is the table of reference-spec 7.5.
func TestReferenceHTTP(t *testing.T) {
	s := startStack(t, options(), nil) // no enclave
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string // "" for any
	}{
		{"GET", "/health", "", 200, `{"status":"ok"}`},
		{"GET", "/enclaves", "", 200, `[]`},
		{"POST", "/decrypt", encode(doc(nil)), 404, `{"code":404,"message":"No enclaves found"}`},
		{"POST", "/decrypt", `{invalid json`, 400, ""},
		{"POST", "/decrypt", encode(doc(obj{"vault_id": ""})), 400, ""},
		{"POST", "/decrypt", encode(doc(obj{"region": "invalid-region"})), 400, ""},
		{"POST", "/decrypt", strings.Repeat(" ", 1<<20+1), 413, ""},
		{"POST", "/decrypt", strings.Repeat(" ", 1<<20-2) + "{}", 422, ""},
		{"POST", "/v1/decrypt", encode(doc(nil)), 503, ""},
		{"GET", "/decrypt", "", 405, ""},
		{"GET", "/nowhere", "", 404, ""},
		{"GET", "/creds", "", 404, ""},
	} {
		got := s.do(t, tc.method, tc.path, "application/json", tc.body)
		if got.status != tc.status || tc.want != "" && got.body != tc.want {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.path, got.status, got.body, tc.status, tc.want)
		}
		if tc.path == "/decrypt" && tc.status != 405 {
			var e struct {
				Code    int
				Message string
			}
			if err := json.Unmarshal([]byte(got.body), &e); err != nil || e.Code != tc.status || e.Message == "" {
				t.Errorf("%s: not the reference's error: %s", tc.path, got.body)
			}
		}
	}
}

func TestDecryptAnswersAsTheReference(t *testing.T) {
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		if !req.Compat {
			t.Error("not in compat mode")
		}
		for i, f := range req.Fields {
			r := wire.Result{Kind: wire.ResultField, Index: uint16(i), ValueKind: wire.ValueString, Value: f.Blob}
			if string(f.Name) == "bad" {
				r = wire.Result{Kind: wire.ResultField, Index: uint16(i), Code: wire.DecryptFailed}
			}
			resp.Add(r)
		}
		for i, e := range req.Expressions {
			r := wire.Result{Kind: wire.ResultExpression, Index: uint16(i), ValueKind: wire.ValueJSON, Value: e.Source}
			if string(e.Source) == "bad" {
				r = wire.Result{Kind: wire.ResultExpression, Index: uint16(i), Code: wire.ExpressionFailed}
			}
			resp.Add(r)
		}
	})
	got := s.post(t, "/decrypt", encode(doc(obj{
		"fields":      obj{"zip": b64("\"\\\n\x01é"), "bad": b64("x"), "Name": b64("Bob"), "ssn": b64("1")},
		"expressions": obj{"age": "46", "ssn": `"masked"`, "worse": "bad"},
	})))
	want := `{"fields":{"Name":"Bob","age":46,"bad":null,"ssn":"masked","worse":null,"zip":"\"\\\n\u0001é"},` +
		`"errors":["[bad] the value could not be decrypted","[worse] the expression could not be evaluated"]}`
	if got.status != 200 || got.body != want {
		t.Errorf("%d\n%s\nwant\n%s", got.status, got.body, want)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" ||
		got.header.Get("Server") != "" {
		t.Errorf("headers %v", got.header)
	}
	if got := s.post(t, "/decrypt", encode(doc(obj{"fields": obj{}}))); got.body != `{"fields":{},"errors":[]}` {
		t.Errorf("no fields: %s", got.body)
	}
	got = s.post(t, "/decrypt", encode(doc(obj{"fields": obj{"bad": b64("x")}})))
	if got.status != 422 || got.body != `{"code":422,"message":"no field could be decrypted"}` {
		t.Errorf("all failed: %d %s", got.status, got.body)
	}
}

func TestV1AnswersWhatWasAskedFor(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for _, tc := range []struct {
		change obj
		want   string
	}{
		{nil, `{"fields":{"ssn":"123-45-6789"},"errors":{}}`},
		{obj{"expressions": obj{"age": "46"}}, `{"fields":{"age":46},"errors":{}}`},
		{obj{"expressions": obj{"age": "46"}, "include": []string{"ssn"}}, `{"fields":{"age":46,"ssn":"123-45-6789"},"errors":{}}`},
		{obj{"include": []string{}}, `{"fields":{},"errors":{}}`},
		{obj{"expressions": obj{"age": "46"}, "compat": true}, `{"fields":{"age":46,"ssn":"123-45-6789"},"errors":{}}`},
		{
			obj{"reply_key": obj{"suite_id": "SFBLRQAQAAEAAg==", "public_key": b64("k")}},
			`{"fields":{},"sealed":{"ssn":"` + b64("123-45-6789") + `"},"errors":{}}`,
		},
	} {
		got := s.post(t, "/v1/decrypt", encode(doc(tc.change)))
		if got.status != 200 || got.body != tc.want {
			t.Errorf("%v: %d %s, want %s", tc.change, got.status, got.body, tc.want)
		}
	}
}

// TestV1TellsTheKindAndPlaceOfAFaultyExpression and /decrypt, whose texts are part of its contract, does not.
func TestV1TellsTheKindAndPlaceOfAFaultyExpression(t *testing.T) {
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		for i := range req.Expressions {
			resp.Add(wire.Result{Kind: wire.ResultExpression, Index: uint16(i), Code: wire.ExpressionFailed})
		}
		resp.Failures = []wire.Failure{
			{Index: 1, Kind: wire.ExpressionUndeclaredName, Line: 1, Column: 7}, {Index: 0, Kind: wire.ExpressionCycle},
		}
	})
	sent := obj{"fields": obj{}, "expressions": obj{"a": "a2", "b": "1 + x", "c": "1 / 0"}}
	want := `{"fields":{"a":null,"b":null,"c":null},"errors":{` +
		`"a":{"code":"expression_failed","message":"the expression is part of a cycle of expressions","kind":"cycle"},` +
		`"b":{"code":"expression_failed","message":"the expression uses a name that is neither a field nor an expression ` +
		`of the request","kind":"undeclared_name","position":{"line":1,"column":7}},` +
		`"c":{"code":"expression_failed","message":"the expression could not be evaluated"}}}`
	if got := s.post(t, "/v1/decrypt", encode(doc(sent))); got.body != want {
		t.Errorf("%s\nwant\n%s", got.body, want)
	}
	const static = "the expression could not be evaluated"
	want = `{"fields":{"a":null,"b":null,"c":null},"errors":["[a] ` + static + `","[b] ` + static + `","[c] ` + static + `"]}`
	if got := s.post(t, "/decrypt", encode(doc(sent))); got.body != want {
		t.Errorf("%s\nwant\n%s", got.body, want)
	}
}

func TestV1ErrorsPerField(t *testing.T) {
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		fakeenclave.Echo(req, resp)
		resp.Results[0] = wire.Result{Kind: wire.ResultField, Index: 0, Code: wire.DecryptFailed}
	})
	got := s.post(t, "/v1/decrypt", encode(doc(obj{"fields": obj{"a": b64("1"), "b": b64("2")}})))
	want := `{"fields":{"a":null,"b":"2"},"errors":{"a":{"code":"decrypt_failed","message":"the value could not be decrypted"}}}`
	if got.body != want {
		t.Errorf("%s, want %s", got.body, want)
	}
}

func TestStatusOfEachCode(t *testing.T) {
	var code wire.Code
	var mu sync.Mutex
	s := startStack(t, options(), func(_ *wire.DecryptRequest, resp *wire.DecryptResponse) {
		mu.Lock()
		defer mu.Unlock()
		resp.Code = code
		if code == wire.KMSThrottled {
			resp.RetryAfterMS = 2500
		}
	})
	for c, status := range map[wire.Code]int{
		wire.BadRequest: 400, wire.Unauthenticated: 401, wire.KeyDenied: 403, wire.KMSThrottled: 503, wire.KMSUnavailable: 503,
		wire.DecryptFailed: 422, wire.Overloaded: 503, wire.DeadlineExceeded: 504, wire.Internal: 500,
	} {
		mu.Lock()
		code = c
		mu.Unlock()
		got := s.post(t, "/decrypt", encode(doc(nil)))
		text := c.Text()
		if c == wire.Internal {
			text = "Internal Server Error" // the reference's
		}
		if want := fmt.Sprintf(`{"code":%d,"message":"%s"}`, status, text); got.status != status || got.body != want {
			t.Errorf("%v: %d %s", c, got.status, got.body)
		}
		retry := map[wire.Code]string{wire.KMSThrottled: "3", wire.KMSUnavailable: "1", wire.Overloaded: "1"}[c]
		if got.header.Get("Retry-After") != retry {
			t.Errorf("%v: Retry-After %q", c, got.header.Get("Retry-After"))
		}
		got = s.post(t, "/v1/decrypt", encode(doc(nil)))
		var p struct {
			Type, Title, Code, Detail string
			Status                    int
		}
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != status || p.Status != status ||
			p.Code != c.String() || p.Detail != c.Text() || p.Type != "urn:redoubt:problem:"+c.String() || p.Title == "" {
			t.Errorf("%v: %d %s", c, got.status, got.body)
		}
		if got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %v", c, got.header)
		}
		if want := fmt.Sprint("/v1/decrypt ", status, " ", c); s.seen.lastRequest() != want {
			t.Errorf("observed %s, want %s", s.seen.lastRequest(), want)
		}
	}
}

func TestContentTypes(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for ct, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "APPLICATION/JSON": true,
		"application/vnd.x+json": true, "text/json": false, "": false, "application/jsonx": false, "application/+json": false,
		"multipart/form-data; boundary=x": false,
	} {
		for _, path := range []string{"/decrypt", "/v1/decrypt", "/v1/decrypt/batch"} {
			got := s.do(t, "POST", path, ct, encode(doc(nil)))
			if (got.status != 415) != ok {
				t.Errorf("%s %q: %d", path, ct, got.status)
			}
		}
	}
}

func TestEncodedBodiesAreRefused(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for _, path := range []string{"/decrypt", "/v1/decrypt", "/v1/decrypt/batch"} {
		body := encode(doc(nil))
		if path == "/v1/decrypt/batch" {
			body = `{"items":[` + body + `]}`
		}
		for _, c := range []struct {
			encodings []string
			ok        bool
		}{
			{nil, true},
			{[]string{"identity"}, true},
			{[]string{" Identity"}, true},
			{[]string{"identity", "identity"}, true},
			{[]string{"gzip"}, false},
			{[]string{"br"}, false},
			{[]string{""}, false},
			{[]string{"identity, gzip"}, false},
			{[]string{"identity", "gzip"}, false},
			{[]string{"gzip", "identity"}, false},
		} {
			req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header["Content-Type"], req.Header["Content-Encoding"] = []string{"application/json"}, c.encodings
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			want := 415
			if c.ok {
				want = 200
			}
			if resp.StatusCode != want {
				t.Errorf("%s %q: %d, want %d", path, c.encodings, resp.StatusCode, want)
			}
		}
	}
}

func TestMethodsAndUnknownRoutes(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for _, tc := range []struct {
		method, path, allow string
		status              int
	}{
		{"GET", "/decrypt", "POST", 405},
		{"PUT", "/v1/decrypt", "POST", 405},
		{"POST", "/health", "GET,HEAD", 405},
		{"DELETE", "/enclaves", "GET,HEAD", 405},
		{"HEAD", "/health", "", 200},
		{"GET", "/", "", 404},
		{"POST", "/enclaves/", "", 404},
		{"POST", "/v1/other", "", 404},
	} {
		got := s.do(t, tc.method, tc.path, "", "")
		if got.status != tc.status || got.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d %q", tc.method, tc.path, got.status, got.header.Get("Allow"))
		}
	}
}

// TestEveryRouteOfTheTableIsServed: a route answers, or refuses what only its handler looks at.
func TestEveryRouteOfTheTableIsServed(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for r := front.RouteUnknown + 1; int(r) < front.Routes; r++ {
		got := s.do(t, "GET", r.String(), "", "")
		if got.status == 405 {
			got = s.post(t, r.String(), "{}")
		}
		if got.body == "" || got.status != 200 && got.status != 400 && got.status != 422 {
			t.Errorf("%s: %d %s", r, got.status, got.body)
		}
	}
}

func TestReadySaysWhichConditionFails(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	s.ready = []front.Check{{Name: "credentials", OK: true}}
	got := s.do(t, "GET", "/ready", "", "")
	want := `{"status":"ready","failing":[],"checks":[{"name":"enclave_ready","ok":true},{"name":"credentials","ok":true},` +
		`{"name":"not_draining","ok":true}]}`
	if got.status != 200 || got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	s.ready = []front.Check{{Name: "credentials", OK: false}}
	s.server.StartDraining()
	got = s.do(t, "GET", "/ready", "", "")
	if got.status != 503 || !strings.Contains(got.body, `"failing":["credentials","not_draining"]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := s.do(t, "GET", "/health", "", ""); got.status != 200 {
		t.Errorf("not alive while draining: %d", got.status)
	}
}

func TestReadyLeavesOutTheConditionsItIsToldTo(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	s.ready = []front.Check{{Name: "kms", OK: false}, {Name: "credentials", OK: false}}
	for _, tc := range []struct {
		query  string
		status int
		want   string
	}{
		{"", 503, `"failing":["kms","credentials"]`},
		{"?exclude=", 503, `"failing":["kms","credentials"]`},
		{"?exclude=kms", 503, `"failing":["credentials"],"checks":[{"name":"enclave_ready"`},
		{"?exclude=kms&exclude=credentials", 200, `"checks":[{"name":"enclave_ready","ok":true},{"name":"not_draining","ok":true}]`},
		{"?exclude=kms,credentials,kms", 200, `"failing":[]`},
		{"?exclude=kms,other", 400, front.ErrNoCondition.Error()},
		{"?exclude=KMS", 400, front.ErrNoCondition.Error()},
		{"?exlude=kms", 422, front.ErrQuery.Error()},
		{"?exclude=kms;credentials", 422, front.ErrQuery.Error()},
		{"?exclude=kms%", 422, front.ErrQuery.Error()},
	} {
		got := s.do(t, "GET", "/ready"+tc.query, "", "")
		if got.status != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: %d %s", tc.query, got.status, got.body)
		}
	}
}

func TestAttestation(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for nonce, want := range map[string]string{
		"3132333435363738":       "12345678",
		"MTIzNDU2Nzg":            "12345678",
		"MTIzNDU2Nzg%3D":         "12345678",
		strings.Repeat("41", 64): strings.Repeat("A", 64),
		"_-_-_-_-_-_-":           "\xff\xef\xfe\xff\xef\xfe\xff\xef\xfe",
	} {
		got := s.do(t, "GET", "/v1/attestation?nonce="+nonce, "", "")
		if want := `{"document":"` + b64("document over "+want) + `","enclave":"i-fake"}`; got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s, want %s", nonce, got.status, got.body, want)
		}
	}
	for _, nonce := range []string{"", "31", "MTIzNDU2Nz", strings.Repeat("41", 65), "!!!!!!!!!!!!", "MTIzNDU2Nzg====", "MTIzNDU2Nzh"} {
		if got := s.do(t, "GET", "/v1/attestation?nonce="+nonce, "", ""); got.status != 400 {
			t.Errorf("%q: %d %s", nonce, got.status, got.body)
		}
	}
	const good = "nonce=3132333435363738"
	for _, query := range []string{good + "&" + good, good + "&x=1", good + ";x=1", good + "&", good + "&x=%", "Nonce=3132333435363738"} {
		if got := s.do(t, "GET", "/v1/attestation?"+query, "", ""); got.status != 422 {
			t.Errorf("%q: %d %s", query, got.status, got.body)
		}
	}
}

func TestBatchGivesEachItemItsOwnResult(t *testing.T) {
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		if string(req.VaultID) == "denied" {
			resp.Code = wire.KeyDenied
			return
		}
		fakeenclave.Echo(req, resp)
	})
	var items, want []string
	for i := range 300 {
		switch i % 4 {
		case 0:
			v := fmt.Sprint("value ", i)
			items = append(items, encode(doc(obj{"fields": obj{"f": b64(v)}})))
			want = append(want, `{"status":200,"fields":{"f":"`+v+`"},"errors":{}}`)
		case 1:
			items = append(items, encode(doc(obj{"vault_id": "denied"})))
			want = append(want, `{"status":403,"error":{"code":"key_denied","message":"the key may not be used"}}`)
		case 2:
			items = append(items, encode(doc(obj{"region": "x"})))
			want = append(want, `{"status":400,"error":{"code":"bad_request","message":"region must be the name of an aws region"}}`)
		case 3:
			items = append(items, `[1]`)
			want = append(want, `{"status":422,"error":{"code":"bad_request","message":"body must be a json object"}}`)
		}
	}
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	if got.status != 200 || got.body != `{"items":[`+strings.Join(want, ",")+`]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestBatchLimits(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	item := encode(doc(nil))
	items := func(n int) string { return `{"items":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}` }
	for _, tc := range []struct {
		name, body string
		status     int
	}{
		{"1000 items", items(1000), 200},
		{"1001 items", items(1001), 400},
		{"none", items(0), 400},
		{"8 MiB", `{"items":[` + item + strings.Repeat(" ", 8<<20-len(item)-12) + `]}`, 200},
		{"8 MiB + 1", `{"items":[` + item + strings.Repeat(" ", 8<<20-len(item)-11) + `]}`, 413},
		{"unknown key", `{"things":[]}`, 422},
		{"second key", `{"items":[1],"x":1}`, 422},
		{"not an array", `{"items":{}}`, 422},
		{"array", `[]`, 422},
		{"malformed", `{"items":[{]}`, 400},
		{"cut off", items(3)[:200], 400},
		{"trailing", items(1) + "x", 400},
	} {
		if got := s.post(t, "/v1/decrypt/batch", tc.body); got.status != tc.status {
			t.Errorf("%s: %d %.200s, want %d", tc.name, got.status, got.body, tc.status)
		}
	}
}
