package front_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/wire"
	"redoubt/wire/kit/test/tracetest"
	"redoubt/wire/kit/trace"
)

// send sends a request with headers, "name: value" each.
func (s *stack) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
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
	return resp, string(b)
}

func TestARequestIDIsKeptIfItIsSafeElseMade(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	get := func(id string) string {
		t.Helper()
		resp, _ := s.send(t, "GET", "/health", "", "X-Request-Id: "+id)
		return resp.Header.Get("X-Request-Id")
	}
	for _, good := range []string{"abc-123_4.5:6", "Root=1-6789", strings.Repeat("x", 128)} {
		if got := get(good); got != good {
			t.Errorf("%q became %q", good, got)
		}
	}
	a, b := get(""), get("")
	if len(a) != 32 || a == b {
		t.Errorf("%q %q", a, b)
	}
	for _, bad := range []string{"a b", `a"b`, strings.Repeat("x", 129), "a\tb", "-a"} {
		if got := get(bad); got == bad || len(got) != 32 {
			t.Errorf("%q echoed as %q", bad, got)
		}
	}
}

func TestEveryAnswerAndProblemHasTheRequestID(t *testing.T) {
	s := startStack(t, options(), nil) // no enclave
	for _, path := range []string{"/decrypt", "/v1/decrypt", "/v1/decrypt/batch", "/v1/attestation", "/health", "/none", "/v1/none"} {
		resp, body := s.send(t, "POST", path, "{", "X-Request-Id: mine-1")
		if got := resp.Header.Get("X-Request-Id"); got != "mine-1" {
			t.Errorf("%s: header %q", path, got)
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			continue
		}
		var p struct {
			RequestID string `json:"request_id"`
		}
		if json.Unmarshal([]byte(body), &p) != nil || p.RequestID != "mine-1" {
			t.Errorf("%s: %s", path, body)
		}
	}
	if resp := s.raw(t, "GET / HTTP/9.9\r\n\r\n"); !strings.Contains(resp, "X-Request-Id: ") {
		t.Errorf("not readable: %s", resp)
	}
}

func TestEachLineHasRequestAndTraceID(t *testing.T) {
	o := options()
	o.AccessLog = true
	s := startStack(t, o, fakeenclave.Echo)
	line := func(headers ...string) (l struct {
		RequestID string `json:"request_id"`
		TraceID   string `json:"trace_id"`
	},
	) {
		t.Helper()
		before := len(s.log.String())
		s.send(t, "GET", "/health", "", headers...)
		if err := json.Unmarshal([]byte(s.log.String()[before:]), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := line("X-Request-Id: traced", "traceparent: "+tracetest.Sampled); l.RequestID != "traced" || l.TraceID != tracetest.CallerTrace {
		t.Errorf("%+v", l)
	}
	for _, headers := range [][]string{
		nil,
		{"traceparent: 00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"},
		{"traceparent: 01-x"},
		{"traceparent: " + strings.ToUpper(tracetest.Sampled)},
		{"traceparent: " + tracetest.Sampled, "traceparent: " + tracetest.Sampled},
	} {
		l := line(headers...)
		if len(l.TraceID) != 32 || l.TraceID == tracetest.CallerTrace || l.TraceID == strings.Repeat("0", 32) || len(l.RequestID) != 32 {
			t.Errorf("%q gives %+v", headers, l)
		}
	}
}

func TestPanicsAreLoggedWithTheirRequest(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo, func(o *front.Options) { o.Upstream = nil })
	for path, body := range map[string]string{
		"/v1/decrypt": encode(doc(nil)), "/v1/decrypt/batch": `{"items":[` + encode(doc(nil)) + `]}`,
	} {
		before := len(s.log.String())
		s.send(t, "POST", path, body, "X-Request-Id: mine", "traceparent: "+tracetest.Sampled)
		for l := range strings.Lines(s.log.String()[before:]) {
			if !strings.Contains(l, `"request_id":"mine","trace_id":"`+tracetest.CallerTrace+`"`) {
				t.Errorf("%s: %s", path, l)
			}
		}
		if !strings.Contains(s.log.String()[before:], "panicked") {
			t.Errorf("%s: no line", path)
		}
	}
}

func TestASampledRequestIsRecordedWithItsParts(t *testing.T) {
	r := &tracetest.Recorder{}
	s := startStack(t, options(), fakeenclave.Echo, func(o *front.Options) { o.Spans = r })
	for path, body := range map[string]string{
		"/decrypt": encode(doc(nil)), "/v1/decrypt": encode(doc(nil)),
		"/v1/decrypt/batch": `{"items":[` + encode(doc(nil)) + `]}`,
	} {
		s.send(t, "POST", path, body, "traceparent: "+tracetest.Sampled, "tracestate: a=1", "tracestate: b=2", "X-Request-Id: mine")
		spans := r.Take()
		if len(spans) != 4 {
			t.Fatalf("%s: %d spans", path, len(spans))
		}
		whole := spans[0]
		if whole.Name != path || whole.Kind != trace.KindServer || whole.Context.Trace.String() != tracetest.CallerTrace ||
			whole.Parent.String() != tracetest.CallerSpan || whole.State != "a=1,b=2" || whole.Failed {
			t.Errorf("%s: %+v", path, whole)
		}
		at := whole.Start
		for i, name := range []string{"read request", "ask enclave", "write answer"} {
			p := spans[i+1]
			if p.Name != name || p.Parent != whole.Context.Span || p.Context.Trace != whole.Context.Trace ||
				p.Start.Before(at) || p.End.Before(p.Start) || p.End.After(whole.End) || p.Failed {
				t.Errorf("%s: %+v in %+v", path, p, whole)
			}
			at = p.End
		}
		if s.seen.lastExemplar().String() != tracetest.CallerTrace {
			t.Errorf("%s: exemplar %s", path, s.seen.lastExemplar())
		}
	}
}

func TestAFailedPartIsMarked(t *testing.T) {
	r := &tracetest.Recorder{}
	s := startStack(t, options(), func(_ *wire.DecryptRequest, resp *wire.DecryptResponse) { resp.Code = wire.KMSUnavailable },
		func(o *front.Options) { o.Spans = r })
	s.send(t, "POST", "/v1/decrypt", encode(doc(nil)), "traceparent: "+tracetest.Sampled)
	spans := r.Take()
	if len(spans) < 3 || !spans[0].Failed || spans[1].Failed || !spans[len(spans)-1].Failed {
		t.Errorf("%+v", spans)
	}
}

func TestWhatIsNotSampledIsNotRecorded(t *testing.T) {
	r := &tracetest.Recorder{All: true}
	s := startStack(t, options(), fakeenclave.Echo, func(o *front.Options) {
		o.Spans = r
		o.Auth = front.NewAuth(false)
		if err := o.Auth.Load(strings.NewReader("ann " + hash("sesame"))); err != nil {
			t.Fatal(err)
		}
	})
	const key = "Authorization: Bearer sesame"
	s.send(t, "POST", "/v1/decrypt", encode(doc(nil)), key)
	if spans := r.Take(); len(spans) != 4 || spans[0].Parent != (trace.SpanID{}) || spans[0].State != "" ||
		s.seen.lastExemplar() != spans[0].Context.Trace {
		t.Errorf("a trace that begins here: %+v", spans)
	}
	for name, headers := range map[string][]string{
		"the caller does not sample":        {key, "traceparent: " + tracetest.Quiet},
		"the caller is not known":           {"traceparent: " + tracetest.Sampled},
		"the caller is not known, no trace": nil,
	} {
		s.send(t, "POST", "/v1/decrypt", encode(doc(nil)), headers...)
		if spans := r.Take(); len(spans) != 0 || s.seen.lastExemplar() != (trace.ID{}) {
			t.Errorf("%s: %+v, exemplar %s", name, spans, s.seen.lastExemplar())
		}
	}
	s.send(t, "GET", "/health", "")
	s.send(t, "GET", "/ready", "", "traceparent: "+tracetest.Sampled)
	if spans := r.Take(); len(spans) != 0 {
		t.Errorf("health checks: %+v", spans)
	}
	r.All = false
	s.send(t, "POST", "/v1/decrypt", encode(doc(nil)), key)
	if spans := r.Take(); len(spans) != 0 || s.seen.lastExemplar() != (trace.ID{}) {
		t.Errorf("the sink does not sample: %+v", spans)
	}
}

// TestSpansHoldNoValues: what a request holds, and what its answer holds, is in none of its spans.
func TestSpansHoldNoValues(t *testing.T) {
	const sentinel = "SENTINEL"
	r := &tracetest.Recorder{}
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		resp.Add(wire.Result{Kind: wire.ResultField, ValueKind: wire.ValueString, Value: []byte(sentinel)})
	}, func(o *front.Options) { o.Spans = r })
	for _, body := range []string{
		encode(doc(obj{"vault_id": sentinel})),
		encode(doc(obj{"fields": obj{sentinel: b64(strings.Repeat("c", 124))}})),
		encode(doc(obj{"region": sentinel})), `{"` + sentinel + `":1}`, sentinel,
	} {
		for _, path := range []string{"/decrypt", "/v1/decrypt", "/" + sentinel + "?" + sentinel} {
			s.send(t, "POST", path, body, "traceparent: "+tracetest.Sampled)
		}
	}
	b, err := json.Marshal(r.Take())
	if err != nil || len(b) < 1000 || strings.Contains(string(b), sentinel) {
		t.Errorf("%v: %s", err, b)
	}
}

// TestASinkThatIsOnCostsUnsampledRequestsNothing beside TestHotRequestAllocatesNothingOfOurs, where tracing is off.
func TestASinkThatIsOnCostsUnsampledRequestsNothing(t *testing.T) {
	checkAllocations(t, func(o *front.Options) { o.Spans = &tracetest.Recorder{} })
}
