// Package client calls the vault's REST API for Go programs.
//
// Every error of the API is an [*Error] with its status, its code and the fields that were wrong. Requests carry the
// context's deadline. A request that can be repeated without effect (a read, a decrypt, a create with an idempotency
// key) is sent once more if its connection was dead. Returned values are held as raw JSON and belong to the caller.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout bounds a request whose context has no deadline.
	DefaultTimeout = 30 * time.Second
	maxAnswer      = 32 << 20
)

// Config of a client.
type Config struct {
	URL   string       // base URL of the API, with or without /v1
	Token string       // API key or OIDC token, may be empty
	HTTP  *http.Client // nil for one of our own with DefaultTimeout; redirects are never followed
}

// Client is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// Error is an answer of the API that is not a success.
type Error struct {
	Status     int    `json:"statusCode"`
	Message    string `json:"message"`
	Code       string `json:"code"`
	RequestID  string `json:"-"`
	RetryAfter time.Duration
	Fields     []FieldProblem `json:"errors"`
}

// FieldProblem names a field of the request and the rule that it broke.
type FieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "vault api: %d %s", e.Status, e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&text, "; %s %s", f.Field, f.Message)
	}
	return text.String()
}

// New makes a client; it opens no connection.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("vault api: the URL must be http://HOST:PORT or https://HOST")
	}
	hc := http.Client{Timeout: DefaultTimeout}
	if cfg.HTTP != nil {
		hc = *cfg.HTTP
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	base := strings.TrimRight(u.String(), "/")
	if !strings.HasSuffix(base, "/v1") {
		base += "/v1"
	}
	return &Client{base: base, token: cfg.Token, http: &hc}, nil
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	header       map[string]string
	body, out    any
}

// do sends a request, reads the answer into r.out and returns its headers.
func (c *Client) do(ctx context.Context, r call) (http.Header, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("vault api: %w", bare(err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("vault api: %w", err)
	}
	defer clear(data)
	if resp.StatusCode != http.StatusOK {
		return nil, failure(resp, data)
	}
	if err := json.Unmarshal(data, r.out); err != nil {
		return nil, errors.New("vault api: the answer is not understood")
	}
	return resp.Header, nil
}

func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("vault api: %w", err)
		}
		body = bytes.NewReader(data)
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("vault api: %w", err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for k, v := range r.header {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	return req, nil
}

// bare drops the URL that net/http puts before an error: it holds the vault's id.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func failure(resp *http.Response, data []byte) error {
	e := &Error{}
	if json.Unmarshal(data, e) != nil || e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	e.Status, e.RequestID = resp.StatusCode, resp.Header.Get("X-Request-Id")
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

func vaultPath(id string) string { return "/vaults/" + url.PathEscape(id) }
