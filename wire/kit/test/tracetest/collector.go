package tracetest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// waitFor bounds Wait.
const waitFor = 30 * time.Second

// Answer decides on the export with this number, from 1: it may write an answer; take keeps the spans.
type Answer func(call int, w http.ResponseWriter) (take bool)

// Collector is an OpenTelemetry collector: it takes OTLP over HTTP on loopback and keeps what it got. It is safe for
// concurrent use.
type Collector struct {
	URL string

	t      testing.TB
	answer Answer
	mu     sync.Mutex
	spans  []Span
	header http.Header
	calls  int
}

// Span is a span and the service that it is of.
type Span struct {
	*tracepb.Span
	Resource map[string]string
}

// Trace is the span's trace id, in hex.
func (s *Span) Trace() string { return hex.EncodeToString(s.GetTraceId()) }

// ID is the span's id, in hex.
func (s *Span) ID() string { return hex.EncodeToString(s.GetSpanId()) }

// Parent is the id of the span's parent, in hex, "" if there is none.
func (s *Span) Parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// Attr is a text attribute, "" if there is none.
func (s *Span) Attr(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// StartCollector starts a collector for the test's duration. A nil answer takes everything.
func StartCollector(t testing.TB, answer Answer) *Collector {
	t.Helper()
	c := &Collector{t: t, answer: answer}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m coltrace.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &m) != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost ||
		r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s %s is no export: %v", r.Method, r.URL.Path, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.header = r.Header
	if c.answer != nil && !c.answer(c.calls, w) {
		return
	}
	for _, rs := range m.GetResourceSpans() {
		who := map[string]string{}
		for _, a := range rs.GetResource().GetAttributes() {
			who[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans = append(c.spans, Span{s, who})
			}
		}
	}
}

// Spans are those taken so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Calls is the number of exports, and the headers of the last.
func (c *Collector) Calls() (int, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, c.header
}

// Wait waits for the first span that is wanted, and fails the test when it does not come.
func (c *Collector) Wait(what string, wanted func(*Span) bool) Span {
	c.t.Helper()
	for deadline := time.Now().Add(waitFor); ; {
		spans := c.Spans()
		for i := range spans {
			if wanted(&spans[i]) {
				return spans[i]
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("no span: %s; %d others", what, len(spans))
		}
		<-time.After(5 * time.Millisecond)
	}
}
