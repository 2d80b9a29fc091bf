package status

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redoubt/parent/internal/front"
	"redoubt/parent/internal/metrics"
	"redoubt/wire/kit/trace"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestThePageIsSelfContained(t *testing.T) {
	w := get(t, "/")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	body := w.Body.String()
	for _, bad := range []string{"http:", "https:", "src=", "innerHTML", "@import", "url("} {
		if strings.Contains(body, bad) {
			t.Errorf("%q in the page", bad)
		}
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if link[1] != "/metrics" && link[1] != "data:," {
			t.Errorf("a link to %q", link[1])
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	// The hashes are of what is there: one script and one style, not empty.
	for _, element := range []string{"script", "style"} {
		if strings.Count(body, "<"+element) != 1 || hashOf(element) == hashOf("absent") {
			t.Errorf("%s is not there once", element)
		}
		if !strings.Contains(policy, hashOf(element)) {
			t.Errorf("the policy does not allow the %s", element)
		}
	}
}

func TestThePageIsAtTheRootAlone(t *testing.T) {
	if w := get(t, "/other"); w.Code != http.StatusNotFound {
		t.Errorf("another path: %d", w.Code)
	}
}

func TestThePageReadsMetricsThatExist(t *testing.T) {
	m := metrics.New("v1")
	m.Request(front.RouteDecrypt, 200, "ok", time.Millisecond, trace.ID{})
	known := map[string]bool{}
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		known[f.GetName()] = true
	}
	m.AddEnclaves(nil)
	m.AddProbe(nil)
	descs := make(chan *prometheus.Desc, 1024)
	m.Registry.Describe(descs)
	close(descs)
	for d := range descs {
		known[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	for w := range metrics.Watched(metrics.WatchedValues) {
		known[w.Name()] = true
	}
	names := regexp.MustCompile(`"((?:redoubt|go|process)_[a-z_]*[a-z])"`).FindAllStringSubmatch(page, -1)
	if len(names) < 40 {
		t.Fatalf("%d names found in the page", len(names))
	}
	for _, n := range names {
		if !known[n[1]] {
			t.Errorf("the page reads %s, which is not exposed", n[1])
		}
	}
}
