package parentd

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/parent/internal/metrics"
)

// keysFile is a file with one key.
func keysFile(t *testing.T, name, key string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(name+" "+hex.EncodeToString(sum[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ask asks the metrics listener from an address; the body, if any, says that it is JSON.
func (a *Parent) ask(method, path, body, from, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = from, "10.0.0.1:9180"
	r.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	a.operate().ServeHTTP(w, r)
	return w
}

const (
	here      = "127.0.0.1:4711"
	elsewhere = "192.0.2.1:4711"
)

// TestMetricsBeyondLoopbackAskForAKey is check 37 for the second listener. A key for decrypting opens /metrics only
// where there are no keys for it, and never empties caches.
func TestMetricsBeyondLoopbackAskForAKey(t *testing.T) {
	callers := []string{"--api-keys-file", keysFile(t, "api", "caller-key")}
	scrapers := []string{"--metrics-keys-file", keysFile(t, "prometheus", "scraper-key")}
	for _, tc := range []struct {
		name           string
		args           []string
		from, key      string
		metrics, purge int
	}{
		{"callers' keys, none given", callers, elsewhere, "", 401, 401},
		{"callers' keys, another", callers, elsewhere, "Bearer other", 401, 401},
		{"callers' keys, one of them", callers, elsewhere, "Bearer caller-key", 200, 401},
		{"callers' keys, this host", callers, here, "", 200, 200},
		{"both, none given", append(callers, scrapers...), elsewhere, "", 401, 401},
		{"both, a caller's", append(callers, scrapers...), elsewhere, "Bearer caller-key", 401, 401},
		{"both, a scraper's", append(callers, scrapers...), elsewhere, "Bearer scraper-key", 200, 200},
		{"both, this host", append(callers, scrapers...), "[::1]:4711", "", 200, 200},
		{"scrapers' keys, none given", scrapers, elsewhere, "", 401, 401},
		{"scrapers' keys, one of them", scrapers, elsewhere, "Bearer scraper-key", 200, 200},
		{"no keys at all", nil, elsewhere, "", 200, 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, _, _ := start(t, tc.args...)
			if w := a.ask(http.MethodGet, "/metrics", "", tc.from, tc.key); w.Code != tc.metrics {
				t.Errorf("/metrics: %d, want %d", w.Code, tc.metrics)
			}
			if w := a.ask(http.MethodPost, "/purge", "{}", tc.from, tc.key); w.Code != tc.purge {
				t.Errorf("/purge: %d, want %d", w.Code, tc.purge)
			}
		})
	}
}

func TestEveryWatchedValueIsExposed(t *testing.T) {
	a, _, _ := start(t)
	exposed := a.ask(http.MethodGet, "/metrics", "", here, "").Body.String()
	for w := range metrics.Watched(metrics.WatchedValues) {
		if there := strings.Contains(exposed, "\n"+w.Name()+" "); there != (w != metrics.CertificateLife) {
			t.Errorf("%s is exposed: %v, without TLS", w.Name(), there)
		}
	}
}
