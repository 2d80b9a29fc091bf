package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/test/tracetest"
	"redoubt/wire/kit/trace"
)

// record gives the API a sink.
func record(r *tracetest.Recorder) apitest.Option {
	return func(_ *vault.Config, h *httpapi.Config) { h.Spans = r }
}

// lines are the log's lines since it had this length.
func lines(t *testing.T, a *apitest.API, since int) []map[string]any {
	t.Helper()
	var out []map[string]any
	for l := range strings.Lines(a.Log.String()[since:]) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestEachLineHasRequestAndTraceID(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Authenticators = []httpapi.Authenticator{panicking{}}
	})
	for _, path := range []string{"/v1/vaults", "/health"} { // the first panics: two lines
		a.Do("GET", path, "", "X-Request-Id", "mine", "traceparent", tracetest.Sampled)
	}
	got := lines(t, a, 0)
	if len(got) < 3 {
		t.Fatalf("%d lines", len(got))
	}
	for _, l := range got {
		if l["request_id"] != "mine" || l["trace_id"] != tracetest.CallerTrace {
			t.Errorf("%v", l)
		}
	}
	for _, bad := range []string{"", "nonsense", strings.ToUpper(tracetest.Sampled)} {
		since := len(a.Log.String())
		a.Do("GET", "/health", "", "traceparent", bad, "tracestate", "a=1")
		for _, l := range lines(t, a, since) {
			id, _ := l["trace_id"].(string)
			if rid, _ := l["request_id"].(string); len(rid) != 32 || len(id) != 32 || id == tracetest.CallerTrace {
				t.Errorf("%q gives %v", bad, l)
			}
		}
	}
}

func TestASampledRequestIsRecorded(t *testing.T) {
	r := &tracetest.Recorder{}
	a := apitest.New(t, record(r))
	id := create(t, a, person)
	if spans := r.Take(); len(spans) != 0 {
		t.Fatalf("not sampled: %+v", spans)
	}
	a.Do("GET", "/v1/vaults/"+id, "", "traceparent", tracetest.Sampled, "tracestate", "a=1", "X-Request-Id", "mine").WantStatus(200)
	spans := r.Take()
	if len(spans) != 1 {
		t.Fatalf("%+v", spans)
	}
	s := spans[0]
	if s.Name != "GET /vaults/{id}" || s.Context.Trace.String() != tracetest.CallerTrace || s.Parent.String() != tracetest.CallerSpan ||
		s.Context.Span == s.Parent || s.State != "a=1" || s.Kind != trace.KindServer || s.Failed || s.End.Before(s.Start) {
		t.Errorf("%+v", s)
	}
	text, err := json.Marshal(s)
	if err != nil || strings.Contains(string(text), id) || !strings.Contains(string(text), "mine") {
		t.Errorf("%s", text)
	}
	r.All = true
	create(t, a, person)
	if spans = r.Take(); len(spans) != 1 || spans[0].Parent != (trace.SpanID{}) {
		t.Errorf("a trace that begins here: %+v", spans)
	}
}

func TestStrangersAndHealthChecksAreNotRecorded(t *testing.T) {
	r := &tracetest.Recorder{All: true}
	a := apitest.New(t, record(r), func(_ *vault.Config, h *httpapi.Config) {
		h.Authenticators = []httpapi.Authenticator{refusing{}}
	})
	for _, path := range []string{"/v1/vaults", "/health", "/ready", "/nowhere"} {
		a.Do("GET", path, "", "traceparent", tracetest.Sampled)
		a.Do("GET", path, "")
	}
	if spans := r.Take(); len(spans) != 0 {
		t.Errorf("%+v", spans)
	}
	if _, text := scrape(t, a, openMetrics); strings.Contains(text, "trace_id") {
		t.Error("they are exemplars")
	}
}

type refusing struct{}

func (refusing) Authenticate(*http.Request) (auth.Principal, bool, error) {
	return auth.Principal{}, false, auth.ErrUnauthenticated
}

const openMetrics = "application/openmetrics-text; version=1.0.0"

// scrape gets the metrics in a format.
func scrape(t *testing.T, a *apitest.API, accept string) (kind, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	promhttp.HandlerFor(a.Metrics.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, req)
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Header().Get("Content-Type"), string(b)
}

func TestLatencyHasExemplarsInOpenMetricsAlone(t *testing.T) {
	a := apitest.New(t)
	create(t, a, person)
	if _, text := scrape(t, a, openMetrics); strings.Contains(text, "trace_id") {
		t.Error("a request without a trace has an exemplar")
	}
	a.Do("GET", "/v1/schema", "", "traceparent", tracetest.Sampled).WantStatus(200)
	kind, text := scrape(t, a, openMetrics)
	if !strings.HasPrefix(kind, "application/openmetrics-text") ||
		!strings.Contains(text, `# {trace_id="`+tracetest.CallerTrace+`"} `) {
		t.Errorf("%s lacks the exemplar", kind)
	}
	if kind, text = scrape(t, a, "text/plain"); strings.Contains(text, tracetest.CallerTrace) {
		t.Errorf("%s has an exemplar", kind)
	}
}

func TestCallsOfDependenciesAreSpansOfTheirRequest(t *testing.T) {
	r := &tracetest.Recorder{}
	m := httpapi.NewMetrics("test")
	req, _ := trace.Begin([]string{tracetest.Sampled}, nil, r)
	ctx, call := m.Call(trace.With(t.Context(), &req), "store", "get")
	if in := trace.From(ctx); in.Trace != req.Trace || in.Span == req.Span {
		t.Errorf("called in %+v, of %+v", in, req)
	}
	call.Done("not_found")
	_, call = m.Call(trace.With(t.Context(), &req), "kms", "mac")
	call.Done("denied")
	spans := r.Take()
	if len(spans) != 2 || spans[0].Name != "store get" || spans[0].Failed || spans[0].Parent != req.Span ||
		spans[0].Context.Span != trace.From(ctx).Span || !spans[1].Failed {
		t.Errorf("%+v", spans)
	}
	_, call = m.Call(t.Context(), "store", "get") // of no request: readiness, sweeping
	call.Done("ok")
	if spans = r.Take(); len(spans) != 0 {
		t.Errorf("%+v", spans)
	}
}
