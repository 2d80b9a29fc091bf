package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/wire"
	"redoubt/wire/parentapi"
)

// Defaults and limits.
const (
	DefaultTimeout  = 8 * time.Second // below API Gateway's 10 s for the reference's integration
	maxAnswer       = 16 << 20
	maxErrorAnswer  = 64 << 10
	readyPath       = "/ready"
	maxRetryAfter   = time.Hour
	contentTypeJSON = "application/json"
)

var (
	errAnswer   = errors.New("answer not understood")
	errTooLarge = errors.New("answer too large")
)

// Config of a client.
type Config struct {
	URL     string        // base URL of the parent, http:// or https://
	Region  string        // the region whose key wraps the vaults' keys
	Timeout time.Duration // of one decrypt with its retry; DefaultTimeout if 0
	TLS     *tls.Config   // nil for the defaults
	Token   string        // bearer token for the parent, may be empty
}

// Client is safe for concurrent use.
type Client struct {
	conns   connections
	region  string
	timeout time.Duration
}

// New makes a client; it opens no connection.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("upstream: the parent's URL must be http://HOST:PORT or https://HOST:PORT")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Client{conns: connect(u, cfg.TLS, cfg.Token), region: cfg.Region, timeout: cfg.Timeout}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.conns.pool.CloseIdleConnections() }

// Decrypt asks for one vault's fields and, if there are expressions, for a report of what they read. The error is an
// [*Error] or a [*TooLargeError]. The caller wipes the result.
//
// Fields that do not fit one request of the parent are asked for in several, one after the other, so that the key is
// unwrapped once. The result is complete, or an error.
func (c *Client) Decrypt(ctx context.Context, r *Request) (*Result, error) {
	if len(r.Expressions) == 0 && fits(r) {
		return c.part(ctx, r)
	}
	all, err := split(r)
	if err != nil {
		return nil, err
	}
	if len(all) == 1 {
		return c.part(ctx, all[0])
	}
	m := merge{Result: Result{Fields: map[string]json.RawMessage{}, Errors: map[string]FieldError{}}}
	for _, part := range all {
		res, err := c.part(ctx, part)
		if err = m.add(part, res, err); err != nil {
			m.Wipe()
			return nil, err
		}
	}
	if !m.opened {
		return nil, m.lost
	}
	return &m.Result, nil
}

// part sends one request.
//
// A parent of an earlier release refuses a request for a report. Then part asks once more without it, so that the API
// may be rolled first.
func (c *Client) part(ctx context.Context, r *Request) (out *Result, err error) {
	w, err := c.encode(r)
	if err != nil {
		return nil, err
	}
	w.ReportAccess = len(r.Expressions) > 0
	deadline := c.deadline(ctx)
	err = handingOver(ctx, r.Records, r.domains(), func(records [][]byte) error {
		w.DomainRecords = records
		out, err = c.ask(ctx, deadline, w)
		if w.ReportAccess && code(err) == wire.BadRequest {
			w.ReportAccess = false
			out, err = c.ask(ctx, deadline, w)
		}
		return err
	})
	return out, err
}

// code is the code of an [*Error], and 0 for any other error.
func code(err error) wire.Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// deadline is when a decrypt that begins now must have ended.
func (c *Client) deadline(ctx context.Context) time.Time {
	end := time.Now().Add(c.timeout)
	if host, ok := ctx.Deadline(); ok && host.Before(end) {
		return host
	}
	return end
}

// ask sends one request, with its retry.
func (c *Client) ask(ctx context.Context, deadline time.Time, w *parentapi.Request[[]byte]) (*Result, error) {
	body, err := w.JSON()
	if err != nil {
		return nil, &Error{Code: wire.Internal, Err: errors.New("request not encodable")}
	}
	path := parentapi.PathV1Decrypt
	if len(body) > parentapi.MaxBody { // and could not be split: the items of a batch are bounded by the wire alone
		path, body = parentapi.PathBatch, slices.Concat([]byte(batchHead), body, []byte(batchTail))
	}
	var out *Result
	err = c.send(ctx, deadline, path, body, func(answer []byte) error {
		if path == parentapi.PathBatch {
			out, err = onlyItem(answer)
			return err
		}
		if out, err = readResult(answer); err != nil {
			return &Error{Code: wire.Internal, Err: errAnswer}
		}
		return nil
	})
	return out, err
}

// send posts a body, and reads the answer with read, which keeps nothing of it.
func (c *Client) send(
	ctx context.Context, deadline time.Time, path string, body []byte, read func(answer []byte) error,
) error {
	req := c.conns.request(ctx, http.MethodPost, path)
	defer fasthttp.ReleaseRequest(req)
	req.Header.SetContentType(contentTypeJSON)
	req.SetBodyRaw(body)
	resp := fasthttp.AcquireResponse()
	defer release(resp)
	if err := c.post(ctx, deadline, req, resp); err != nil {
		return transportError(ctx, err)
	}
	switch status := resp.StatusCode(); {
	case status == http.StatusNotFound && path != parentapi.PathV1Decrypt && path != parentapi.PathBatch:
		return &Error{Code: wire.DomainUnknown, Err: ErrNoDomains} // a parent without the route
	case status != http.StatusOK:
		return statusError(status, string(resp.Header.Peek("Retry-After")), resp.Body())
	}
	return read(resp.Body())
}

func (c *Client) encode(r *Request) (*parentapi.Request[[]byte], error) {
	w := &parentapi.Request[[]byte]{
		VaultID: r.VaultID, Region: c.region, Fields: r.Fields, SuiteID: r.SuiteID, WrappedKey: r.WrappedKey,
		Encoding: strconv.Itoa(r.Encoding), Expressions: r.Expressions, Compat: r.Compat, ReplyKey: r.ReplyKey,
	}
	if r.Include != nil {
		w.Include = append([]string{}, *r.Include...) // an empty list is not an absent one
	}
	if w.Fields == nil {
		w.Fields = map[string][]byte{}
	}
	if r.KeyContext {
		w.KeyContext = 1
	}
	if r.Domain != nil {
		if err := underDomain(w, r); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// post sends the request, and sends it again if the connection was dead.
func (c *Client) post(ctx context.Context, deadline time.Time, req *fasthttp.Request, resp *fasthttp.Response) error {
	for attempt := 0; ; attempt++ {
		connected, err := c.conns.exchange(ctx, deadline, req, resp)
		if err == nil || attempt > 0 || !connected || ctx.Err() != nil || timedOut(err) || errors.Is(err, errTooLarge) {
			return err
		}
		// The parent closed this connection, so probably also the other idle ones.
		c.conns.pool.CloseIdleConnections()
	}
}

// Ready reports whether the parent says that it is ready.
func (c *Client) Ready(ctx context.Context) error {
	req := c.conns.request(ctx, http.MethodGet, readyPath)
	defer fasthttp.ReleaseRequest(req)
	resp := fasthttp.AcquireResponse()
	defer release(resp)
	if err := c.post(ctx, c.deadline(ctx), req, resp); err != nil {
		return ErrUnavailable
	}
	if status := resp.StatusCode(); status != http.StatusOK {
		return fmt.Errorf("upstream: not ready: status %d", status)
	}
	return nil
}

// transportError hides the cause's text, which may hold an address, and keeps its kind.
func transportError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return &Error{Code: wire.Internal, Err: errTooLarge}
	case ctx.Err() != nil, timedOut(err):
		return &Error{Code: wire.DeadlineExceeded}
	}
	return &Error{Code: wire.Internal, Err: ErrUnavailable}
}

// ErrUnavailable reports that no parent answers: the connection fails, or a proxy in front says that there is no
// parent.
var ErrUnavailable = errors.New("the parent cannot be reached")

// ErrNoEnclave reports that the parent answers, but none of its enclaves does. The enclave may hang, restart or be
// gone.
var ErrNoEnclave = errors.New("no enclave answers the parent")

// codeNoEnclave is a code of the parent's own, not one of the wire's.
const codeNoEnclave = "no_enclave"

// statusError reads the parent's problem document. If there is none, it goes by the status.
func statusError(status int, retryAfter string, answer []byte) error {
	e := &Error{Code: codeOfStatus(status)}
	if status == http.StatusBadGateway || status == http.StatusServiceUnavailable {
		e.Err = ErrUnavailable // unless the parent names the cause
	}
	var problem struct {
		Code   string   `json:"code"`
		Domain string   `json:"domain"`
		Fields []string `json:"fields"`
	}
	if json.Unmarshal(answer, &problem) == nil {
		for c := wire.BadRequest; int(c) < wire.Codes; c++ {
			if c.String() == problem.Code {
				e.Code, e.Err = c, nil
			}
		}
		if problem.Code == codeNoEnclave {
			e.Err = ErrNoEnclave
		}
		if err := ofDomains[problem.Code]; err != nil {
			e.Code, e.Err = wire.DomainUnknown, err
		}
		e.Domain, e.Fields = problem.Domain, problem.Fields
	}
	if s, err := strconv.Atoi(retryAfter); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	return e
}

func codeOfStatus(status int) wire.Code {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return wire.BadRequest
	case http.StatusUnauthorized:
		return wire.Unauthenticated
	case http.StatusForbidden:
		return wire.KeyDenied
	case http.StatusUnprocessableEntity:
		return wire.DecryptFailed
	case http.StatusTooManyRequests:
		return wire.Overloaded
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return wire.DeadlineExceeded
	}
	return wire.Internal
}
