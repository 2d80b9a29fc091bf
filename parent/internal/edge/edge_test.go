package edge_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"redoubt/parent/internal/edge"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/metrics"
)

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.save("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) issue(c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c.SerialNumber = big.NewInt(a.n)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if c.Subject.CommonName == "" {
		c.Subject = pkix.Name{CommonName: fmt.Sprint("test ", a.n)}
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) save(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// server issues the listener's certificate.
func (a *authority) server() {
	a.t.Helper()
	cert, key := a.issue(&x509.Certificate{DNSNames: []string{"vault.test"}}, a)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.save("cert.pem", "CERTIFICATE", cert.Raw)
	a.save("key.pem", "PRIVATE KEY", der)
}

// client issues a client certificate with the given names.
func (a *authority) client(dns, uri string) tls.Certificate {
	c := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if dns != "" {
		c.DNSNames = []string{dns}
	}
	if uri != "" {
		u, _ := url.Parse(uri)
		c.URIs = []*url.URL{u}
	}
	c.Subject = pkix.Name{CommonName: "allowed.test"} // which must not count
	cert, key := a.issue(c, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) files() edge.TLSFiles {
	return edge.TLSFiles{Cert: filepath.Join(a.dir, "cert.pem"), Key: filepath.Join(a.dir, "key.pem")}
}

func (a *authority) trusting(certs ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: "vault.test", Certificates: certs}
}

// serve runs a front without enclaves behind the given TLS.
func serve(t *testing.T, t13 *edge.TLS, auth *front.Auth, wrap func(net.Listener) net.Listener) string {
	t.Helper()
	o := front.Options{
		Upstream: nil, Ready: func() []front.Check { return nil }, Enclaves: func(b []byte) []byte { return append(b, "[]"...) },
		Observer: metrics.New("test"), Log: slog.New(slog.DiscardHandler), Auth: auth,
		RequestTimeout: time.Minute, BatchTimeout: time.Minute, HeaderTimeout: 10 * time.Second, BodyTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, MaxConnections: 100, BatchFanOut: 4,
	}
	if t13 != nil {
		o.TLS = t13.Config()
	}
	s := front.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if wrap != nil {
		ln = wrap(ln)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	return addr
}

func get(addr, path string, config *tls.Config) (int, *tls.ConnectionState, error) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	resp, err := c.Get(scheme + "://" + addr + path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.TLS, nil
}

func load(t *testing.T, f edge.TLSFiles, sans ...string) *edge.TLS {
	t.Helper()
	x, err := edge.NewTLS(f, sans)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Load(); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTLS13WithHybridKeyExchange(t *testing.T) {
	a := newAuthority(t)
	a.server()
	addr := serve(t, load(t, a.files()), nil, nil)
	status, state, err := get(addr, "/health", a.trusting())
	if err != nil || status != 200 || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("%d %+v %v", status, state, err)
	}
	for curve, ok := range map[tls.CurveID]bool{tls.X25519: true, tls.CurveP256: true, tls.CurveP521: false} {
		c := a.trusting()
		c.CurvePreferences = []tls.CurveID{curve}
		if _, _, err := get(addr, "/health", c); (err == nil) != ok {
			t.Errorf("%v: %v", curve, err)
		}
	}
	old := a.trusting()
	old.MaxVersion = tls.VersionTLS12
	if _, _, err := get(addr, "/health", old); err == nil {
		t.Error("TLS 1.2 is served")
	}
	if status, _, err := get(addr, "/health", nil); err == nil && status == 200 {
		t.Error("plain HTTP is served")
	}
}

func TestClientCertificatesAreRequiredWhereDataIsAndNamesCount(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	a.server()
	f := a.files()
	f.ClientCA = filepath.Join(a.dir, "ca.pem")
	addr := serve(t, load(t, f, "allowed.test", "spiffe://vault/api"), front.NewAuth(true), nil)
	for _, tc := range []struct {
		name   string
		config *tls.Config
		path   string
		status int // 0: the handshake fails
	}{
		{"none, health check", a.trusting(), "/ready", 200},
		{"none, data", a.trusting(), "/enclaves", 401},
		{"dns name", a.trusting(a.client("allowed.test", "")), "/enclaves", 200},
		{"uri", a.trusting(a.client("", "spiffe://vault/api")), "/enclaves", 200},
		{"other uri", a.trusting(a.client("", "spiffe://vault/api2")), "/enclaves", 0},
		{"other dns name", a.trusting(a.client("other.test", "")), "/enclaves", 0},
		{"subdomain", a.trusting(a.client("x.allowed.test", "")), "/enclaves", 0},
		{"common name only", a.trusting(a.client("", "")), "/enclaves", 0},
		{"other authority", a.trusting(other.client("allowed.test", "")), "/enclaves", 0},
	} {
		status, _, err := get(addr, tc.path, tc.config)
		if tc.status == 0 && (err == nil && status != 401) || tc.status != 0 && (err != nil || status != tc.status) {
			t.Errorf("%s: %d %v", tc.name, status, err)
		}
	}
}

func TestCertificateIsReplacedUnderLoadWithoutAFailedRequest(t *testing.T) {
	a := newAuthority(t)
	a.server()
	x := load(t, a.files())
	addr := serve(t, x, nil, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			kept := &http.Client{Transport: &http.Transport{TLSClientConfig: a.trusting()}, Timeout: 10 * time.Second}
			defer kept.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := kept.Get("https://" + addr + "/health")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if _, _, err := get(addr, "/health", a.trusting()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	serial := func() int64 {
		_, state, err := get(addr, "/health", a.trusting())
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	for range 5 {
		before := serial()
		a.server()
		if err := x.Load(); err != nil {
			t.Fatal(err)
		}
		if after := serial(); after == before {
			t.Error("still the old certificate")
		}
	}
	close(stop)
	wg.Wait()
	// A file that cannot be loaded changes nothing, and no error quotes it.
	before := serial()
	if err := os.WriteFile(filepath.Join(a.dir, "key.pem"), []byte("S3NTINEL"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.Load(); !errors.Is(err, edge.ErrCertificate) || strings.Contains(err.Error(), "S3NTINEL") {
		t.Errorf("%v", err)
	}
	if serial() != before || time.Until(x.NotAfter()) < 50*time.Minute {
		t.Error("a broken file took effect")
	}
}

func TestPlainBytesOnATLSPortAndSlowHandshakesEnd(t *testing.T) {
	a := newAuthority(t)
	a.server()
	addr := serve(t, load(t, a.files()), nil, nil)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	b, _ := io.ReadAll(c)
	if strings.Contains(string(b), "200 OK") {
		t.Errorf("%q", b)
	}
}

// header is a PROXY protocol header of the given version.
func header(t *testing.T, version byte) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 4711},
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443})
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProxyHeaderIsBelievedOnlyFromConfiguredAddresses(t *testing.T) {
	const request = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for _, tc := range []struct {
		name, from string
		preamble   []byte
		ok         bool
	}{
		{"from the balancer", "127.0.0.0/8", header(t, 2), true},
		{"from the balancer without a header", "127.0.0.0/8", nil, false},
		{"version 1", "127.0.0.0/8", header(t, 1), false},
		{"broken", "127.0.0.0/8", header(t, 2)[:14], false},
		{"spoofed from elsewhere", "10.0.0.0/8", header(t, 2), false},
		{"from elsewhere without a header", "10.0.0.0/8", nil, true},
	} {
		addr := serve(t, nil, nil, func(ln net.Listener) net.Listener {
			return edge.ProxyProtocol(ln, []netip.Prefix{netip.MustParsePrefix(tc.from)}, time.Second)
		})
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write(append(tc.preamble, request...))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if ok := err == nil && resp.StatusCode == http.StatusOK; ok != tc.ok {
			t.Errorf("%s: %v %v", tc.name, resp, err)
		}
		c.Close()
	}
}

func TestCID(t *testing.T) {
	for u, want := range map[string]uint64{"vsock://17:5050": 17, "vsock://4294967295:1": 4294967295, "vsock://x:1": 0, "unix:///a": 0, "": 0} {
		if got := edge.CID(u); got != want {
			t.Errorf("%s: %d", u, got)
		}
	}
}

// What cannot be loaded leaves what was loaded before, and an error does not quote the file.
func TestCertificatesThatCannotBeUsedLeaveTheOldOnes(t *testing.T) {
	a := newAuthority(t)
	a.server()
	if _, err := edge.NewTLS(edge.TLSFiles{Cert: a.files().Cert}, nil); !errors.Is(err, edge.ErrCertificate) {
		t.Errorf("no key: %v", err)
	}
	files := a.files()
	files.ClientCA = filepath.Join(a.dir, "ca.pem")
	x := load(t, files)
	before := x.NotAfter()
	for _, broken := range []string{files.ClientCA, files.Key} {
		was, err := os.ReadFile(broken)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(broken, []byte("sentinel"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := x.Load(); !errors.Is(err, edge.ErrCertificate) || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s is no PEM: %v", broken, err)
		}
		if err := os.Remove(broken); err != nil {
			t.Fatal(err)
		}
		if err := x.Load(); !errors.Is(err, edge.ErrCertificate) {
			t.Errorf("%s is gone: %v", broken, err)
		}
		if x.NotAfter() != before {
			t.Error("what was loaded is lost")
		}
		if err := os.WriteFile(broken, was, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := x.Load(); err != nil {
			t.Errorf("what is whole again is not loaded: %v", err)
		}
	}
}
