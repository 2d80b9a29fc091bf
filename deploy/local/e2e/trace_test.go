package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/tracetest"
)

// line is what a process logs of a request.
type line struct {
	Msg     string `json:"msg"`
	Route   string `json:"route"`
	Request string `json:"request_id"`
	Trace   string `json:"trace_id"`
}

// lines are those about requests to a route, since the log had this length.
func (r *rig) lines(route string, since int) (found []line) {
	for text := range strings.Lines(r.log.String()[since:]) {
		_, text, _ = strings.Cut(text, "{")
		var l line
		if json.Unmarshal([]byte("{"+text), &l) == nil && l.Msg == "request" && l.Route == route {
			found = append(found, l)
		}
	}
	return found
}

// openTraced opens a vault's field through the API, with headers in pairs, and returns the answer's request id.
func (r *rig) openTraced(t *testing.T, id string, headers ...string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+r.Addresses.API+"/v1/vaults/"+id+"/decrypt",
		strings.NewReader(`{"fields":["first_name"],"reason":"test"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	return resp.Header.Get("X-Request-Id")
}

// TestOneTraceAndOneRequestIDFromAPIToParent: what a caller sends, or the API makes, stands in the logs of both; with a
// collector the spans of both make one tree; the enclave hears nothing of it.
func TestOneTraceAndOneRequestIDFromAPIToParent(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	r := own(t, func(o *testkit.Options) {
		o.ParentArgs = append(o.ParentArgs, "--access-log", "--otlp-endpoint", c.URL)
		o.APIArgs = append(o.APIArgs, "--otlp-endpoint", c.URL)
	})
	id := r.mustAPI(t, "POST", "", map[string]string{"first_name": sentinel}).ID
	const api, parent = "/vaults/{id}/decrypt", "/v1/decrypt"

	since := len(r.log.String())
	made := r.openTraced(t, id)
	logged := func() bool { return len(r.lines(api, since)) > 0 && len(r.lines(parent, since)) > 0 }
	eventually(t, "a line of each tier, which may come after the answer", 10*time.Second, logged)
	if a, p := r.lines(api, since), r.lines(parent, since); len(a) != 1 || len(p) != 1 || a[0].Request != made ||
		p[0].Request != made || len(a[0].Trace) != 32 || a[0].Trace != p[0].Trace {
		t.Errorf("made %s, logged by the api %+v and by the parent %+v", made, a, p)
	}

	since = len(r.log.String())
	given := r.openTraced(t, id, "X-Request-Id", "mine", "tracestate", "a=1",
		"traceparent", tracetest.Sampled)
	eventually(t, "a line of each tier, which may come after the answer", 10*time.Second, logged)
	for _, l := range append(r.lines(api, since), r.lines(parent, since)...) {
		if given != "mine" || l.Request != "mine" || l.Trace != tracetest.CallerTrace {
			t.Errorf("%s: %+v", given, l)
		}
	}
	if n := len(r.lines(parent, since)); n != 1 {
		t.Errorf("%d lines of the parent", n)
	}

	whole := c.Wait("the api's request", func(s *tracetest.Span) bool { return s.Parent() == tracetest.CallerSpan })
	call := c.Wait("its call", func(s *tracetest.Span) bool {
		return s.GetName() == "parent decrypt" && s.Parent() == whole.ID()
	})
	served := c.Wait("the parent's request", func(s *tracetest.Span) bool { return s.Parent() == call.ID() })
	c.Wait("the enclave's part", func(s *tracetest.Span) bool {
		return s.GetName() == "ask enclave" && s.Parent() == served.ID()
	})
	if served.Resource["service.name"] != "redoubt-parent" || served.GetTraceState() != "a=1" ||
		served.Attr("redoubt.request_id") != "mine" {
		t.Errorf("%v", served)
	}
	for _, s := range c.Spans() {
		if strings.Contains(s.String(), sentinel) || strings.Contains(s.String(), id) {
			t.Errorf("a span says too much: %v", s)
		}
	}
	if told := strings.Join(r.Process(testkit.Enclave).Tail(), "\n"); strings.Contains(told, tracetest.CallerTrace) {
		t.Error("the enclave knows the trace")
	}
}
