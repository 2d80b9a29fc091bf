package kms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	maxAnswer       = 64 << 10 // body of an answer, in bytes
	maxAnswerHeader = 16 << 10
	idleTimeout     = 50 * time.Second
	tlsSessions     = 64
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
	if theirs, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		d.offset.Store(int64(theirs.Sub(now)))
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}
