package h1_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"redoubt/wire/kit/h1"
)

func TestASiteServesItsOwnNamesAndNoOthers(t *testing.T) {
	site := &h1.Site{Names: []string{"metrics.Internal", "vault.example."}, Flag: "--metrics-host"}
	for _, tc := range []struct {
		host, origin string
		status       int
	}{
		{host: "127.0.0.1:9180", status: 200},
		{host: "127.0.0.1", status: 200},
		{host: "10.1.2.3:9180", status: 200},
		{host: "[::1]:9180", status: 200},
		{host: "[fd00::1]", status: 200},
		{host: "localhost:9180", status: 200},
		{host: "LOCALHOST.", status: 200},
		{host: "", status: 200},
		{host: "metrics.internal:9180", status: 200},
		{host: "METRICS.INTERNAL.:9180", status: 200},
		{host: "vault.example", status: 200},
		{host: "evil.example:9180", status: 421},
		{host: "localhost.evil.example", status: 421},
		{host: "127.0.0.1.evil.example", status: 421},
		{host: "metrics.internal.evil.example", status: 421},
		{host: "evilmetrics.internal", status: 421},
		{host: "metrics", status: 421},
		{host: ":9180", status: 421},
		{host: "127.0.0.1:9180", origin: "http://127.0.0.1:9180", status: 200},
		{host: "metrics.internal", origin: "https://METRICS.internal", status: 200},
		{host: "127.0.0.1:9180", origin: "http://evil.example", status: 403},
		{host: "127.0.0.1:9180", origin: "http://127.0.0.1:8000", status: 403},
		{host: "127.0.0.1:9180", origin: "http://127.0.0.1", status: 403},
		{host: "127.0.0.1:9180", origin: "null", status: 403},
		{host: "127.0.0.1:9180", origin: "", status: 200},
		{host: "evil.example", origin: "http://evil.example", status: 421},
	} {
		served := site.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
		r := httptest.NewRequest(http.MethodPost, "/purge", nil)
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("host %q origin %q: %d, want %d", tc.host, tc.origin, w.Code, tc.status)
		}
		if text := w.Body.String(); w.Code == 421 && !strings.Contains(text, "--metrics-host") || strings.Contains(text, "evil") {
			t.Errorf("host %q: says %s", tc.host, text)
		}
	}
	two := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", nil)
	two.Header["Origin"] = []string{"http://127.0.0.1", "http://evil.example"}
	if site.Check(two) == nil {
		t.Error("a second origin is not looked at")
	}
}

func TestAHostThatIsServedCostsNoAllocation(t *testing.T) {
	site := &h1.Site{Names: []string{"a-name-of-more-than-thirty-two-bytes.example"}}
	for _, host := range []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080", site.Names[0] + ":8080"} {
		b := []byte(host)
		if n := testing.AllocsPerRun(100, func() { _ = site.Host(b) }); n != 0 {
			t.Errorf("%s: %v", host, n)
		}
	}
}

func TestPathIsWhatWasSent(t *testing.T) {
	for target, want := range map[string]string{
		"/decrypt": "/decrypt", "/decrypt?a=/b": "/decrypt", "//decrypt": "//decrypt", "/%64ecrypt": "/%64ecrypt", "/": "/",
		"/./decrypt": "/./decrypt", "/x/../v1/decrypt": "/x/../v1/decrypt", "/decrypt;a": "/decrypt;a", "?": "",
		"http://h/decrypt?x": "/decrypt", "HTTPS://h:1/%64": "/%64", "http://h": "/", "http://h?/decrypt": "/", "http:///decrypt": "/decrypt",
		"ftp://h/decrypt": "", "h:443": "", "*": "", "": "", "decrypt": "", "http:/decrypt": "",
	} {
		if got := h1.Path(target); got != want {
			t.Errorf("%s: %s", target, got)
		}
		if got := h1.Path([]byte(target)); string(got) != want {
			t.Errorf("%s as bytes: %s", target, got)
		}
	}
	for target, want := range map[string]string{"http://h:1/x": "h:1", "http://h?x": "h", "/x": "", "*": "", "": ""} {
		if got := h1.Authority(target); got != want {
			t.Errorf("authority of %s: %s", target, got)
		}
	}
}

func TestAMuxFindsARouteByItsPathAsSentAlone(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/purge", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/page/", func(http.ResponseWriter, *http.Request) {})
	for target, want := range map[string]int{
		"/purge": 200, "/purge?a=//b": 200, "/page/x": 200, "/page/": 200, "/page/.x": 200, "http://h/purge": 200,
		"//purge": 404, "/%70urge": 404, "/./purge": 404, "/x/../purge": 404, "/purge/.": 404, "/page/..": 404, "/page//x": 404,
		"/page/%2e%2e/purge": 404, "/page/x%2fy": 404, "/purge;a": 404,
	} {
		w := httptest.NewRecorder()
		h1.AsSent(mux).ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}
