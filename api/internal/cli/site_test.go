package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"redoubt/api/internal/httpapi"
)

func TestNoPageOfAnotherSiteReachesTheMetrics(t *testing.T) {
	var log bytes.Buffer
	cmd := &Serve{MetricsListen: "127.0.0.1:0", MetricsHosts: []string{"metrics.internal"}}
	stop, err := cmd.serveMetrics(t.Context(), httpapi.NewMetrics("test"), make(chan error, 1), slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var line struct{ Address string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range []struct {
		host, origin, path string
		status             int
	}{
		{line.Address, "", "/metrics", 200},
		{"10.0.0.7:9181", "", "/metrics", 200},
		{"metrics.internal:9181", "", "/metrics", 200},
		{"evil.example:9181", "", "/metrics", 421},
		{"localhost:9181", "http://evil.example", "/metrics", 403},
		{"localhost", "", "/%6detrics", 404},
		{"localhost", "", "//metrics", 404},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+line.Address+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%+v: %d", tc, resp.StatusCode)
		}
	}
	for _, headers := range []string{"Host: localhost\n", "Host: localhost\r\nA: b\r\n c\r\n"} {
		if got := sent(t, line.Address, "GET /metrics HTTP/1.1\r\n"+headers+"\r\n"); got != http.StatusBadRequest {
			t.Errorf("%q: %d", headers, got)
		}
	}
}

// sent writes a request as it stands and returns the status of the answer.
func sent(t *testing.T, address, text string) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, text)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
