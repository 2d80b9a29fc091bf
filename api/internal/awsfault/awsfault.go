// Package awsfault puts faults between a client of an AWS service and the service, in tests. It does to requests what
// an outage does: it refuses them, swallows them, loses their answers after they were carried out, or delays them.
package awsfault

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault does something to one request; next is the service.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Proxy is the service as the client sees it. It is safe for concurrent use.
type Proxy struct {
	URL string

	next http.Handler

	mu     sync.Mutex
	script []Fault
	always Fault
	seen   []Request
}

// Request is one request that the client sent.
type Request struct {
	Operation string // as in X-Amz-Target, without the service
	Body      string
	At        time.Time
}

// New starts a proxy before a service; it ends with the test.
func New(t testing.TB, service http.Handler) *Proxy {
	p := &Proxy{next: service}
	server := httptest.NewServer(p)
	p.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

// To is the service at a URL, as a handler.
func To(t testing.TB, service string) http.Handler {
	t.Helper()
	u, err := url.Parse(service)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(u)
}

// Empty is a service that does nothing and reports success.
func Empty() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = io.WriteString(w, "{}")
	})
}

// Next sets what happens to the next requests, one after the other. Later requests pass.
func (p *Proxy) Next(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = append(p.script, faults...)
}

// Always sets what happens to every request for which there is no script; nil: it passes.
func (p *Proxy) Always(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always = f
}

// Seen are the requests so far.
func (p *Proxy) Seen() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.seen...)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	p.mu.Lock()
	p.seen = append(p.seen, Request{operation, string(body), time.Now()})
	f := p.always
	if len(p.script) > 0 {
		f, p.script = p.script[0], p.script[1:]
	}
	p.mu.Unlock()
	if f == nil {
		f = Pass
	}
	f(w, r, p.next)
}

// Client is a client's transport that needs no network, for tests in fake time (testing/synctest). It follows the
// script, and then repeats its last fault for ever.
type Client struct {
	script []Fault
	n      int
}

// NewClient makes a client for one goroutine.
func NewClient(script ...Fault) *Client { return &Client{script: script} }

// Do implements aws.HTTPClient.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	fault := c.script[min(c.n, len(c.script)-1)]
	c.n++
	w := httptest.NewRecorder()
	if cut := does(fault, w, r); cut {
		return nil, io.ErrUnexpectedEOF
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// does reports whether the fault cut the connection, as net/http's server has it done.
func does(fault Fault, w http.ResponseWriter, r *http.Request) (cut bool) {
	defer func() {
		v := recover()
		if cut = v == http.ErrAbortHandler; v != nil && !cut { //nolint:errorlint // net/http's very value
			panic(v)
		}
	}()
	fault(w, r, Empty())
	return false
}

// Pass lets the request through.
func Pass(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }

// Refuse answers with an error of the service. more is JSON that is added to it, with a comma in front.
func Refuse(status int, code, more string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"SENTINEL"%s}`, code, more)
	}
}

// Throttle answers that the table is asked for more than it is provisioned for.
func Throttle() Fault {
	return Refuse(http.StatusBadRequest, "ProvisionedThroughputExceededException", "")
}

// Expired answers that the caller's session token has expired.
func Expired() Fault { return Refuse(http.StatusBadRequest, "ExpiredTokenException", "") }

// Denied answers that the caller has no permission.
func Denied() Fault { return Refuse(http.StatusBadRequest, "AccessDeniedException", "") }

// Cancel answers that a transaction was cancelled, with one reason for each of its items.
func Cancel(reasons ...string) Fault {
	for i, r := range reasons {
		reasons[i] = `{"Code":"` + r + `","Message":"SENTINEL"}`
	}
	more := `,"CancellationReasons":[` + strings.Join(reasons, ",") + `]`
	return Refuse(http.StatusBadRequest, "TransactionCanceledException", more)
}

// Status answers as a load balancer before the service does.
func Status(status int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>SENTINEL")
	}
}

// Swallow accepts the request and never answers.
func Swallow(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// Lose carries the request out and closes the connection instead of answering.
func Lose(_ http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// Slow carries the request out after a while, unless the client leaves before.
func Slow(wait time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(wait):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}
