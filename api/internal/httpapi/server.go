package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace"
)

// Authenticator finds the principal of a request. ok is false if the request carries no credential of its kind. An
// error refuses the request.
type Authenticator interface {
	Authenticate(r *http.Request) (p auth.Principal, ok bool, err error)
}

// Check is a dependency that readiness checks.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// Config of a handler.
type Config struct {
	Vault   *vault.Service
	Version string
	// Authenticators are tried in order. The first that finds a credential decides. If there are none, every caller
	// is anonymous, and only loopback Host names are served.
	Authenticators []Authenticator
	Checks         []Check
	Log            *slog.Logger
	Metrics        *Metrics
	Spans          trace.Sink // takes the spans of sampled requests; nil: none are made
	Now            func() time.Time
	// BodyMemory bounds the bodies and the answers of all requests together, in bytes; 0: [DefaultBodyMemory].
	BodyMemory int64
}

// authLogEvery is how often a failure to check credentials is logged.
const authLogEvery = 10 * time.Second

// Server is the API. It is safe for concurrent use.
type Server struct {
	vault   *vault.Service
	cfg     Config
	router  *router
	browser *http.CrossOriginProtection
	spec    []byte
	ready   readiness
	authLog rate.Sometimes
	bodies  budget.Budget
	memory  int // all bytes that bodies may have
}

// New makes a handler and its OpenAPI document.
func New(cfg Config) (*Server, error) {
	if cfg.Vault == nil {
		return nil, errors.New("httpapi: no vault")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(cfg.Version)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		vault: cfg.Vault, cfg: cfg, router: newRouter(routes()), browser: http.NewCrossOriginProtection(),
		authLog: rate.Sometimes{First: 1, Interval: authLogEvery},
	}
	if cfg.BodyMemory == 0 {
		cfg.BodyMemory = DefaultBodyMemory
	}
	s.memory = int(cfg.BodyMemory)
	s.bodies.Give(s.memory)
	var err error
	s.spec, err = s.document()
	return s, err
}

// Spec is the OpenAPI document.
func (s *Server) Spec() []byte { return s.spec }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.cfg.Now()
	id := r.Header.Get(requestID)
	if !trace.ValidRequestID(id) {
		id = string(trace.AppendRequestID(nil))
	}
	h := w.Header()
	maps.Copy(h, always)
	h.Set(requestID, id)
	traced, parent := trace.Begin(r.Header[traceParent], r.Header[traceState], s.cfg.Spans)
	traced.ID = id
	ctx, end := attend(r)
	defer end()
	r = r.WithContext(trace.With(ctx, &traced))
	c := &call{Request: r, w: w, server: s, caller: vault.Caller{Source: source(r), RequestID: id}, trace: &traced}
	s.cfg.Metrics.begin()
	status, code := s.serve(c)
	c.release()
	pattern, method := "unknown", "unknown"
	if c.route != nil {
		pattern, method = c.route.path, c.route.method
	}
	took := s.cfg.Now().Sub(start)
	s.cfg.Metrics.end(pattern, method, status, code, took, c.exemplar(status))
	s.record(c, parent, status, code, start, took)
	level := slog.LevelInfo
	if c.route != nil && c.route.open {
		level = slog.LevelDebug // health checks come every few seconds
	}
	s.cfg.Log.LogAttrs(ctx, level, "request", slog.String("route", pattern), slog.String("method", method),
		slog.Int("status", status), slog.String("code", code), slog.String("principal", c.caller.Name),
		slog.String("request_id", id), slog.String("trace_id", traced.Trace.String()), program.Duration("took", took))
}

// always are the headers of every answer. Their values are shared: they are replaced, never appended to.
var always = http.Header{
	"Cache-Control": {"no-cache, no-store, must-revalidate"}, "Pragma": {"no-cache"}, "Expires": {"0"},
	"X-Content-Type-Options": {"nosniff"},
}

// serve routes, answers and returns the status and the error's code.
func (s *Server) serve(c *call) (status int, code string) {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value
				panic(v)
			}
			// The panic's value may hold parts of the request, so it is not logged.
			c.log().Error("handler panicked")
			status, code = s.fail(c, refusal(http.StatusInternalServerError, "Internal error", "internal"))
		}
	}()
	r, err := s.dispatch(c)
	switch {
	case err != nil && gone(c.Context()):
		return s.fail(c, errGone)
	case err != nil:
		failed := "Internal error"
		if c.route != nil && c.route.failed != "" {
			failed = c.route.failed
		}
		return s.fail(c, classify(err, failed))
	}
	return s.write(c, r, "ok")
}

// dispatch finds the route, authenticates the caller and runs the handler.
func (s *Server) dispatch(c *call) (*reply, error) {
	found, id, allow := s.router.find(c.Method, sentPath(c.Request))
	if found == nil {
		if allow != nil {
			c.w.Header().Set("Allow", strings.Join(allow, ", "))
			return nil, refusal(http.StatusMethodNotAllowed, "Method not allowed", "method_not_allowed")
		}
		return nil, refusal(http.StatusNotFound, "Not found", "not_found")
	}
	c.route, c.id = found, id
	if err := s.browser.Check(c.Request); err != nil {
		return nil, refusal(http.StatusForbidden, "Cross-origin request refused", "cross_origin")
	}
	if err := s.authenticate(c); err != nil {
		return nil, err
	}
	var err error
	if c.query, err = parseQuery(c.URL.RawQuery, found.query); err != nil {
		return nil, err
	}
	return found.handle(c)
}

func (s *Server) authenticate(c *call) error {
	if len(s.cfg.Authenticators) == 0 {
		// A name that resolves to loopback only for the attack (DNS rebinding) is not a loopback name.
		if !loopbackHost(c.Host) {
			return refusal(http.StatusForbidden, "Host is not a loopback name", "forbidden")
		}
		c.caller.Principal = auth.Anonymous()
		return nil
	}
	if c.route.open {
		return nil
	}
	for _, a := range s.cfg.Authenticators {
		p, ok, err := a.Authenticate(c.Request)
		if errors.Is(err, auth.ErrUnauthenticated) {
			return s.challenge(c)
		}
		if err != nil {
			// Anyone can cause this again and again, so it is logged seldom.
			s.authLog.Do(func() { c.log().Error("authentication is not available", "error", err) })
			return fmt.Errorf("%w: %w", auth.ErrUnavailable, err)
		}
		if ok {
			c.caller.Principal = p
			h1.Known(c.Request)
			return nil
		}
	}
	return s.challenge(c)
}

func (s *Server) challenge(c *call) error {
	c.w.Header().Set("WWW-Authenticate", `Bearer realm="redoubt"`)
	return auth.ErrUnauthenticated
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

// source is the address of the peer, without its port.
func source(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// fail writes an error. If a body was not read to its end, the connection is not kept: net/http would read the rest
// before it sends the answer.
func (s *Server) fail(c *call, e *httpError) (status int, code string) {
	if c.ContentLength != 0 && !c.whole {
		c.w.Header().Set("Connection", "close")
	}
	if e.retry > 0 {
		c.w.Header().Set("Retry-After", seconds(e.retry))
	}
	if e.status >= http.StatusInternalServerError && !e.logged {
		c.log().Error("request failed", "code", e.code, "error", e.cause)
	}
	return s.write(c, &reply{status: e.status, body: e.body()}, e.code)
}

// body is the JSON of an answer, with a newline behind it.
func body(of any) ([]byte, error) {
	if d, ok := of.(*decryptedBody); ok {
		return d.appendTo(nil)
	}
	return marshal(of)
}

var newline = []byte("\n")

// marshal is json.Marshal without its escapes for HTML, and with a newline.
func marshal(of any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(of)
	return buf.Bytes(), err
}

// write writes an answer and wipes what it held. It returns the status and the code to record: a caller that has left
// got no answer.
func (s *Server) write(c *call, r *reply, code string) (int, string) {
	if r.wipe != nil {
		defer r.wipe()
	}
	data, kind := r.raw, r.kind
	if r.body != nil {
		var err error
		if data, err = body(r.body); err != nil {
			clear(data)
			return s.write(c, &reply{status: http.StatusInternalServerError, body: &ErrorBody{
				StatusCode: http.StatusInternalServerError, Message: "Internal error", Code: "internal",
			}}, "internal")
		}
		kind = "application/json"
		defer clear(data)
		if !c.charge(len(data)) {
			return s.fail(c, errNoRoom)
		}
	}
	h := c.w.Header()
	if kind != "" { // 304 has no content
		h.Set("Content-Type", kind)
	}
	if r.tag != "" {
		h.Set(tagHeader, r.tag)
	}
	for k, v := range r.header {
		h.Set(k, v)
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if err := send(c.w, r.status, data); err != nil {
		return errGone.status, errGone.code
	}
	return r.status, code
}
