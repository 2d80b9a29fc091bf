package kms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxAnswer       = 64 << 10 // body of an answer, in bytes
	maxAnswerHeader = 16 << 10
	idleTimeout     = 50 * time.Second
	tlsSessions     = 64
	// maxDomainConns is the number of connections, per region, for domains' keys. A fleet has few domains, and each is
	// asked for about once in a key's time to live.
	maxDomainConns = 4
)

// Amazon's trust anchors: Amazon Root CA 1 to 4 and Starfield Services Root CA G2.
//
//go:embed amazon-roots.pem
var amazonRootsPEM []byte

func rootPool(extraPEM []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(amazonRootsPEM) {
		return nil, fmt.Errorf("%w: embedded roots do not parse", ErrConfig)
	}
	if len(extraPEM) > 0 && !pool.AppendCertsFromPEM(extraPEM) {
		return nil, fmt.Errorf("%w: extra roots hold no certificate", ErrConfig)
	}
	return pool, nil
}

// newTransport makes the one pool of connections. It uses nothing of the environment: no proxy, no system roots.
func newTransport(cfg *Config, roots *x509.CertPool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: cfg.dial,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
		},
		Protocols: &protocols, DisableCompression: true, TLSHandshakeTimeout: cfg.AttemptTimeout,
		MaxConnsPerHost: cfg.MaxConcurrent, MaxIdleConns: cfg.MaxConcurrent, MaxIdleConnsPerHost: cfg.MaxConcurrent,
		IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// newDomainTransport makes the pool of connections for domains' keys. A domain's key opens every vault of its domain,
// for years. So what is recorded of these connections must not open to a quantum computer: TLS 1.3 with X25519MLKEM768
// or nothing. It shares no TLS session with the other pool.
func newDomainTransport(cfg *Config, roots *x509.CertPool) *http.Transport {
	t := newTransport(cfg, roots)
	t.MaxConnsPerHost = min(maxDomainConns, cfg.MaxConcurrent)
	if cfg.ClassicalDomains {
		return t
	}
	config := t.TLSClientConfig
	config.MinVersion = tls.VersionTLS13
	config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 {
			return errHybrid
		}
		return nil
	}
	t.DialTLSContext = func(ctx context.Context, network, hostport string) (net.Conn, error) {
		conn, err := cfg.dial(ctx, network, hostport)
		if err != nil {
			return nil, err
		}
		return handshake(ctx, conn, config, hostport, cfg.AttemptTimeout)
	}
	return t
}

// handshake makes TLS on conn, which it takes over. An end that offers nothing which config takes is an errHybrid.
func handshake(
	ctx context.Context, conn net.Conn, config *tls.Config, hostport string, timeout time.Duration,
) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	config = config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(hostport)
	secured := tls.Client(conn, config)
	err := secured.HandshakeContext(ctx)
	if err == nil {
		return secured, nil
	}
	_ = conn.Close()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The alerts of package tls have no type. The text decides only how the failure is called.
	for _, text := range []string{
		"protocol version", "handshake failure", "insufficient security", "server selected unsupported",
	} {
		if strings.Contains(err.Error(), text) {
			return nil, errHybrid
		}
	}
	return nil, err
}

// dial opens a connection through the parent. The wait is bounded, since a parent may neither open nor refuse it.
func (c *Config) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.AttemptTimeout)
	defer cancel()
	conn, err := c.Dial(ctx, hostport)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, errEgress
}

// An httpDoer sends the SDK's requests for one region to its endpoint, and nowhere else: no redirects, no cookies.
type httpDoer struct {
	transport http.RoundTripper
	host      string
	answered  *atomic.Pointer[time.Time] // time of the last answer, nil: none; monotonic: the host can step the clock
	offset    *atomic.Int64              // KMS's clock minus ours, in nanoseconds
}

// Do implements the SDK's HTTPClient.
func (d *httpDoer) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || req.URL.Host != d.host {
		return nil, fmt.Errorf("%w: another host", ErrConfig)
	}
	answer, err := d.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if answer.StatusCode < http.StatusInternalServerError {
		d.answered.Store(&now)
	}
	if theirs, ok := offsetOf(answer, now); ok {
		d.offset.Store(int64(theirs))
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}

// offsetOf is the clock of an answer's sender minus now, as far as the answer says.
func offsetOf(answer *http.Response, now time.Time) (time.Duration, bool) {
	theirs, err := http.ParseTime(answer.Header.Get("Date"))
	return theirs.Sub(now), err == nil
}
