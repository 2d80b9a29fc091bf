package main_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/wire/kit/test/tracetest"
)

// traced posts JSON within the caller's trace, and returns the answer.
func (s *server) traced(t *testing.T, path, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", tracetest.Sampled)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
	}
	return string(b)
}

func TestARequestAndWhatItCallsAreOneTrace(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	s := start(t, apitest.NewStack(t), filepath.Join(t.TempDir(), "store.db"), "--suite", "P-256", "--otlp-endpoint", c.URL)
	created := s.traced(t, "/v1/vaults", `{"email":"a@example.com"}`)
	id := strings.Split(created, `"`)[3]
	s.traced(t, "/v1/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"test"}`)
	if err := s.stop(t); err != nil { // sends the last spans
		t.Fatal(err)
	}
	spans := map[string]tracetest.Span{}
	for _, x := range c.Spans() {
		spans[x.GetName()] = x
		if x.Trace() != tracetest.CallerTrace || x.Resource["service.name"] != "redoubt-api" {
			t.Errorf("%v", x)
		}
		if strings.Contains(x.String(), id) || strings.Contains(x.String(), "example.com") {
			t.Errorf("a span says too much: %v", x)
		}
	}
	for whole, parts := range map[string][]string{
		"POST /vaults":              {"kms new_key_pair", "kms mac", "store create"},
		"POST /vaults/{id}/decrypt": {"store get", "parent decrypt", "store append_audit"},
	} {
		w, ok := spans[whole]
		if !ok || w.Parent() != tracetest.CallerSpan {
			t.Errorf("%s: %v", whole, w)
		}
		for _, part := range parts {
			if p, ok := spans[part]; !ok || p.Parent() != w.ID() || p.Attr("outcome") != "ok" {
				t.Errorf("%s in %s: %v", part, whole, p)
			}
		}
	}
}

// TestACollectorThatHangsDelaysNothing: it accepts connections and never answers.
func TestACollectorThatHangsDelaysNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := start(t, apitest.NewStack(t), filepath.Join(t.TempDir(), "store.db"), "--suite", "P-256", "--trace-ratio", "1",
		"--otlp-endpoint", "http://"+ln.Addr().String())
	began := time.Now()
	for range 20 {
		s.traced(t, "/v1/vaults", `{"email":"a@example.com"}`)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 requests took %s", took)
	}
	began = time.Now()
	if err := s.stop(t); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestABadCollectorIsToldAtTheStart(t *testing.T) {
	stack := apitest.NewStack(t)
	for _, bad := range []string{"collector:4318", "http://user:sesame@host"} {
		_, errOut, code := command(t, stack.Env("OTEL_EXPORTER_OTLP_ENDPOINT="+bad), "serve", "--listen", "127.0.0.1:0",
			"--metrics-listen", "off")
		if code == 0 || !strings.Contains(errOut, "otlp") || strings.Contains(errOut, "sesame") {
			t.Errorf("%s: %d %s", bad, code, errOut)
		}
	}
}
