package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/canary/internal/probe"
	"redoubt/wire/kit/test/pages"
)

// send writes a request as it stands and returns the status of the answer.
func send(t *testing.T, address, text string) int {
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

func TestTheMetricsListenerIsStrict(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{MetricsHosts: []string{"metrics.internal"}}
	defer c.serveMetrics(l, probe.NewMetrics("test"), make(chan error, 1))()
	for _, tc := range []struct {
		path, headers string
		status        int
	}{
		{"/metrics", "Host: " + l.Addr().String() + "\r\n", 200},
		{"/metrics", "Host: 10.0.0.7:9182\r\n", 200},
		{"/metrics", "Host: metrics.internal\r\n", 200},
		{"/metrics", "Host: evil.example:9182\r\n", 421},
		{"/metrics", "Host: localhost:9182\r\nOrigin: http://evil.example\r\n", 403},
		{"/%6detrics", "Host: localhost\r\n", 404},
		{"//metrics", "Host: localhost\r\n", 404},
		{"/x/../metrics", "Host: localhost\r\n", 404},
		{"/metrics", "Host: localhost\n", 400},
		{"/metrics", "Host: localhost\r\nA: b\r\n c\r\n", 400},
	} {
		if got := send(t, l.Addr().String(), fmt.Sprintf("GET %s HTTP/1.1\r\n%s\r\n", tc.path, tc.headers)); got != tc.status {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

func TestTimesOutsideTheirLimitsAreRefused(t *testing.T) {
	for line, ok := range map[string]bool{
		"--every=1s": true, "--every=500ms": false, "--every=-1s": false, "--timeout=0s": false, "--timeout=1ms": true,
		"--every=2000000h": false, "--timeout=2000000h": false,
	} {
		k, err := newParser(&cli{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = k.Parse([]string{"--api-url=x", "--kms-key=k", line}); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
		if err != nil && !strings.Contains(err.Error(), " must be 1") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "canary", pages.Flags(t, k.Model))
}
