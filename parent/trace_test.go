package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/wire/kit/test/tracetest"
)

// traced is a client whose requests are of the caller's trace.
var traced = &http.Client{Transport: tracing{}}

type tracing struct{}

func (tracing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("traceparent", tracetest.Sampled)
	return http.DefaultTransport.RoundTrip(r)
}

// scrape gets the metrics in a format.
func (p *process) scrape(accept string) (kind, text string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.metrics+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.Header.Get("Content-Type"), string(b)
}

func TestLatencyHasExemplarsInOpenMetricsAlone(t *testing.T) {
	p := startParent(t, "1", "--enclave", fakeenclave.Start(t, nil).URL)
	p.waitReady()
	if status, body, err := p.decrypt(http.DefaultClient, "x"); status != 200 {
		t.Fatal(status, body, err)
	}
	const open, classic = "application/openmetrics-text; version=1.0.0", "text/plain; version=0.0.4"
	if _, text := p.scrape(open); strings.Contains(text, "trace_id") {
		t.Error("a request without a trace has an exemplar")
	}
	if status, body, err := p.decrypt(traced, "x"); status != 200 {
		t.Fatal(status, body, err)
	}
	bucket := regexp.MustCompile(`(?m)^redoubt_parent_http_request_duration_seconds_bucket\{route="/v1/decrypt",le="[^"]+"\} ` +
		`\d+ # \{trace_id="` + tracetest.CallerTrace + `"\} [0-9.e-]+ [0-9.e+]+$`)
	kind, text := p.scrape(open)
	if !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(text, "# EOF\n") ||
		!bucket.MatchString(text) {
		t.Errorf("%s without the exemplar", kind)
	}
	if kind, text = p.scrape(classic); !strings.HasPrefix(kind, "text/plain") || strings.Contains(text, tracetest.CallerTrace) {
		t.Errorf("%s with an exemplar", kind)
	}
}

func TestTheLastSpansAreSentAtTheEnd(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	p := startParent(t, "1", "--enclave", fakeenclave.Start(t, nil).URL, "--otlp-endpoint", c.URL)
	p.waitReady()
	if _, text := p.scrape("text/plain"); !strings.Contains(text, `redoubt_parent_trace_spans_total{outcome="exported"} 0`) {
		t.Error("spans are not counted")
	}
	if status, body, err := p.decrypt(traced, "x"); status != 200 {
		t.Fatal(status, body, err)
	}
	p.signal(syscall.SIGTERM)
	if status := p.end(); status != 0 {
		t.Errorf("ended with %d: %s", status, p.log)
	}
	whole := c.Wait("the request", func(s *tracetest.Span) bool { return s.Parent() == tracetest.CallerSpan })
	if whole.Trace() != tracetest.CallerTrace || whole.GetName() != "/v1/decrypt" || whole.Resource["service.name"] != "redoubt-parent" ||
		whole.Attr("redoubt.code") != "ok" || len(whole.Attr("redoubt.request_id")) != 32 {
		t.Errorf("%v", whole)
	}
	for _, part := range []string{"read request", "ask enclave", "write answer"} {
		s := c.Wait(part, func(s *tracetest.Span) bool { return s.GetName() == part })
		if s.Parent() != whole.ID() || s.Trace() != tracetest.CallerTrace {
			t.Errorf("%v", s)
		}
	}
}

// TestACollectorThatHangsDelaysNeitherRequestsNorTheEnd: it accepts connections and never answers.
func TestACollectorThatHangsDelaysNeitherRequestsNorTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := startParent(t, "1", "--enclave", fakeenclave.Start(t, nil).URL, "--trace-ratio", "1",
		"--otlp-endpoint", "http://"+ln.Addr().String())
	p.waitReady()
	c := &http.Client{Timeout: 5 * time.Second}
	for range 3000 { // four spans each: more than the queue and two batches hold
		if status, body, err := p.decrypt(c, "x"); status != 200 {
			t.Fatal(status, body, err)
		}
	}
	if _, text := p.scrape("text/plain"); strings.Contains(text, `redoubt_parent_trace_spans_total{outcome="dropped"} 0`) {
		t.Error("nothing is dropped: the queue is not bounded")
	}
	p.signal(syscall.SIGTERM)
	began := time.Now()
	if status := p.end(); status != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("ended with %d after %s", status, time.Since(began))
	}
	if !strings.Contains(p.log.String(), "the last spans were not sent in time") {
		t.Errorf("the log does not tell: %s", p.log)
	}
}

func TestABadCollectorIsToldAtTheStart(t *testing.T) {
	for _, args := range [][]string{
		{"--otlp-endpoint", "collector:4318"},
		{"--otlp-endpoint", "http://user:sesame@host"},
		{"--otlp-endpoint", "http://host", "--otlp-headers-file", "/nonexistent"},
	} {
		status, log := runParent(t, args...)
		if status == 0 || !strings.Contains(log, "otlp") || strings.Contains(log, "sesame") {
			t.Errorf("%v: %d %s", args, status, log)
		}
	}
}

// runParent runs a parent that is to end by itself, and returns its status and log.
func runParent(t *testing.T, args ...string) (status int, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := self(ctx, append([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen=", "--enclave", "unix:///nonexistent",
	}, args...)...)
	cmd.Env = environment("1")
	out, _ := cmd.CombinedOutput() // the status tells
	return cmd.ProcessState.ExitCode(), string(out)
}
