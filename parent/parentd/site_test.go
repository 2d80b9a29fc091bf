package parentd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// asked is the status of a request over a real listener.
func asked(t *testing.T, addr, method, target, header string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", method, target, header)
	b, _ := io.ReadAll(c)
	var status int
	_, _ = fmt.Sscanf(string(b), "HTTP/1.1 %d ", &status)
	return status
}

// TestNoPageOfAnotherSiteReachesAListenerWithoutAuthentication: neither with its own name made to resolve to us, nor
// from its own origin.
func TestNoPageOfAnotherSiteReachesAListenerWithoutAuthentication(t *testing.T) {
	a, _, _ := start(t, "--metrics-host", "metrics.internal", "--served-host", "vault.internal")
	front, metrics := a.frontLn.Addr().String(), a.metricsLn.Addr().String()
	for _, tc := range []struct {
		addr, method, target, header string
		status                       int
	}{
		{metrics, "GET", "/metrics", "Host: " + metrics + "\r\n", 200},
		{metrics, "GET", "/metrics", "Host: metrics.internal:9180\r\n", 200},
		{metrics, "GET", "/metrics", "Host: 10.0.0.7:9180\r\n", 200},
		{metrics, "GET", "/metrics", "Host: evil.example:9180\r\n", 421},
		{metrics, "GET", "/metrics", "Host: vault.internal\r\n", 421},
		{metrics, "POST", "/purge", "Host: evil.example:9180\r\nOrigin: http://evil.example:9180\r\n", 421},
		{metrics, "POST", "/purge", "Host: localhost:9180\r\nOrigin: http://evil.example\r\n", 403},
		{metrics, "POST", "/purge", "Host: localhost:9180\r\nOrigin: null\r\n", 403},
		{metrics, "POST", "/purge", "Host: localhost:9180\r\nOrigin: http://localhost:9180\r\n", 200},
		{metrics, "POST", "//purge", "Host: localhost\r\n", 404},
		{metrics, "POST", "/%70urge", "Host: localhost\r\n", 404},
		{metrics, "POST", "/purge", "Host: localhost\n", 400},
		{front, "GET", "/enclaves", "Host: " + front + "\r\n", 200},
		{front, "GET", "/enclaves", "Host: VAULT.internal\r\n", 200},
		{front, "GET", "/enclaves", "Host: localhost\r\nOrigin: http://localhost\r\n", 200},
		{front, "GET", "/enclaves", "Host: metrics.internal\r\n", 421},
		{front, "POST", "/decrypt", "Host: evil.example\r\n", 421},
		{front, "POST", "http://evil.example/decrypt", "Host: localhost\r\n", 421},
		{front, "POST", "/v1/decrypt", "Host: localhost\r\nOrigin: http://evil.example\r\n", 403},
		{front, "GET", "/enclaves", "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n", 403},
		{front, "GET", "/ready", "Host: evil.example\r\n", 421},
	} {
		if got := asked(t, tc.addr, tc.method, tc.target, tc.header); got != tc.status {
			t.Errorf("%s %s %q: %d, want %d", tc.method, tc.target, tc.header, got, tc.status)
		}
	}
}

// TestWithAuthenticationAnyNameIsServed: a page has no key, and balancers have names.
func TestWithAuthenticationAnyNameIsServed(t *testing.T) {
	a, _, _ := start(t, "--api-keys-file", keysFile(t, "api", "key"))
	if got := asked(t, a.frontLn.Addr().String(), http.MethodGet, "/ready", "Host: vault.example\r\n"); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	if got := asked(t, a.frontLn.Addr().String(), http.MethodGet, "/enclaves", "Host: vault.example\r\n"); got != http.StatusUnauthorized {
		t.Errorf("%d", got)
	}
}
