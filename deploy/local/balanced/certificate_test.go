//go:build operate

package balanced

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serial is the serial number of the certificate that a new handshake sees.
func serial(t *testing.T, addr string, config *tls.Config) int64 {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateReplacedOnDiskUnderLoadFailsNoRequest(t *testing.T) {
	s, a := theSite(t), newAuthority(t)
	first := a.server("now")
	p := s.newParent(t, "parent", []string{s.socket()}, a.flags()...)
	b := newBalancer(t, []*parent{p}, "")
	records := s.records(t, 8)
	config := a.trusting()
	if got := serial(t, b.addr, config); got != first {
		t.Fatalf("certificate %d, want %d", got, first)
	}
	steady := caller(config.Clone(), true) // a connection of the first certificate that lasts
	defer steady.CloseIdleConnections()
	l := startLoad(t, "https://"+b.addr, config, records)
	l.more(loadRate / 2)
	ask := func() int64 {
		t.Helper()
		resp, err := steady.Get("https://" + b.addr + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = new(bytes.Buffer).ReadFrom(resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("/ready: %d", resp.StatusCode)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	current := ask()
	swap := func() {
		t.Helper()
		want := a.server("next")
		a.install("next.cert", "now.cert")
		a.install("next.key", "now.key")
		took := eventually(t, "the new certificate", 10*time.Second, func() bool {
			return serial(t, b.addr, config) == want
		})
		t.Logf("certificate %d is seen after %v", want, ms(took))
		current = want
	}
	swap()
	swap()
	for _, broken := range []string{"a key of another certificate", "a cut-off file"} {
		stale(t, a, p, broken)
		if got := serial(t, b.addr, config); got != current {
			t.Errorf("%s: certificate %d, want %d", broken, got, current)
		}
		ask()
		swap()
		if n := p.metric("redoubt_parent_files_stale"); n != "0" {
			t.Errorf("%s files are stale", n)
		}
	}
	if got := ask(); got != first {
		t.Errorf("the kept connection was opened again: certificate %d", got)
	}
	l.judge()
	if n := strings.Count(p.log.String(), `"msg":"loaded a changed file"`); n < 4 {
		t.Errorf("%d changes were logged", n)
	}
}

// stale installs a pair that cannot be used and waits until the parent says so, in its log and as a metric.
func stale(t *testing.T, a *authority, p *parent, how string) {
	t.Helper()
	const line = `"msg":"cannot load a changed file; the old content stays"`
	before := strings.Count(p.log.String(), line)
	a.server("broken")
	if how == "a cut-off file" {
		a.write("broken.cert", []byte("-----BEGIN CERTIFICATE-----\n"+sentinel))
		a.install("broken.cert", "now.cert")
	} else {
		a.install("broken.key", "now.key")
	}
	eventually(t, "the metric", 10*time.Second, func() bool { return p.metric("redoubt_parent_files_stale") == "1" })
	eventually(t, "the log", 5*time.Second, func() bool { return strings.Count(p.log.String(), line) > before })
}
