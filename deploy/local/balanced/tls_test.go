//go:build operate

package balanced

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// allowedCaller is the name that a client's certificate must have.
const allowedCaller = "spiffe://vault.test/api"

func TestClientCertificatesCountThroughTheBalancer(t *testing.T) {
	s, a, other := theSite(t), newAuthority(t), newAuthority(t)
	a.server("now")
	p := s.newParent(t, "parent", []string{s.socket()}, append(a.flags(), "--tls-client-ca", a.path("ca.pem"),
		"--tls-client-san", allowedCaller, "--proxy-protocol-from", balancerIP+"/32", "--access-log")...)
	b := newBalancer(t, []*parent{p}, "source "+balancerIP+" send-proxy-v2")
	rec := s.seal(t, "mtls")
	base := "https://" + b.addr
	refusal := func(config *tls.Config) error {
		c := caller(config, false)
		_, err := rec.post(t.Context(), c, base)
		return err
	}
	if err := refusal(a.trusting(a.client(allowedCaller))); err != nil {
		t.Errorf("allowed: %v", err)
	}
	eventually(t, "the log names the caller and its address", 5*time.Second, func() bool {
		return strings.Contains(p.log.String(), `"caller":"`+allowedCaller+`","client":"127.0.0.1:`)
	})
	if err := refusal(a.trusting()); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("without a certificate: %v", err)
	}
	for name, cert := range map[string]tls.Certificate{
		"another name":         a.client(allowedCaller + "2"),
		"prefix of the name":   a.client(strings.TrimSuffix(allowedCaller, "i")),
		"common name alone":    a.client(""),
		"of another authority": other.client(allowedCaller),
	} {
		config := a.trusting(cert)
		// Shown even where the server says that it would not take it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		err := refusal(config)
		if alert := new(net.OpError); !errors.As(err, &alert) || alert.Op != "remote error" {
			t.Errorf("%s: %v, want the handshake refused", name, err)
		}
	}
	resp, err := caller(a.trusting(), false).Get(base + "/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/ready without a certificate: %d", resp.StatusCode)
	}
}

func TestCallersNegotiateX25519MLKEM768AndNothingBelowTLS13(t *testing.T) {
	s, a := theSite(t), newAuthority(t)
	a.server("now")
	p := s.newParent(t, "parent", []string{s.socket()}, a.flags()...)
	b := newBalancer(t, []*parent{p}, "")
	handshake := func(config *tls.Config) (tls.ConnectionState, error) {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", b.addr, config)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer c.Close()
		return c.ConnectionState(), nil
	}
	state, err := handshake(a.trusting())
	if err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("Go: version %x, group %v, %v", state.Version, state.CurveID, err)
	}
	classic := a.trusting()
	classic.CurvePreferences = []tls.CurveID{tls.X25519}
	if state, err := handshake(classic); err != nil || state.CurveID != tls.X25519 {
		t.Errorf("a caller without the hybrid: group %v, %v", state.CurveID, err)
	}
	old := a.trusting()
	old.MaxVersion = tls.VersionTLS12
	if _, err := handshake(old); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
	opensslHandshakes(t, a, b.addr)
}

// opensslHandshakes asks another implementation; it has the hybrid from 3.5 on.
func opensslHandshakes(t *testing.T, a *authority, addr string) {
	t.Helper()
	out, err := proctest.Command(t, "openssl", "version").Output()
	words := strings.Fields(string(out))
	if err != nil || len(words) < 2 {
		t.Fatalf("openssl version: %v", err)
	}
	number := strings.Split(words[1], ".")
	major, _ := strconv.Atoi(number[0])
	minor, _ := strconv.Atoi(number[1])
	group := "X25519"
	if major > 3 || major == 3 && minor >= 5 {
		group = "X25519MLKEM768"
	}
	handshake := func(version string) (string, error) {
		cmd := proctest.Command(t, "openssl", "s_client", "-connect", addr, "-servername", serverName, "-CAfile", a.path("ca.pem"),
			"-verify_return_error", "-brief", version)
		cmd.Stdin = strings.NewReader("")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := handshake("-tls1_3"); err != nil || !strings.Contains(out, "TLSv1.3") ||
		!strings.Contains(out, group) || !strings.Contains(out, "Verification: OK") {
		t.Errorf("openssl %s: %v\n%s", words[1], err, out)
	}
	for _, version := range []string{"-tls1_2", "-tls1_1"} {
		if out, err := handshake(version); err == nil {
			t.Errorf("openssl %s: accepted\n%s", version, out)
		}
	}
	t.Logf("openssl %s negotiates %s; Go X25519MLKEM768", words[1], group)
}
