package front

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
	"redoubt/wire/parentapi"
)

// exchange is one request while a handler works on it.
type exchange struct {
	ctx     *fasthttp.RequestCtx
	route   Route
	start   time.Time
	out     *buffer // the answer's body
	status  int
	code    string
	caller  string
	problem bool

	trace  trace.Context // the request's own span
	parent trace.SpanID  // the caller's, zero if there is none
	timed  bool          // parts are timed, for spans
	parts  [parts]struct{ start, end time.Time }
}

// handle is the fasthttp handler. It authenticates, dispatches, and turns every outcome into an answer.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	var x exchange
	s.begin(&x, ctx)
	if f := s.dispatch(&x); f != nil {
		x.fail(f)
	}
	s.finish(&x)
}

// begin makes an exchange of a request.
func (s *Server) begin(x *exchange, ctx *fasthttp.RequestCtx) {
	path := h1.Path(ctx.Request.Header.RequestURI())
	*x = exchange{ctx: ctx, start: time.Now(), route: routeOf(path), out: newBuffer()}
	x.problem = x.route.problems(path)
	// fasthttp closes user values after it has written the answer: see buffer.
	ctx.SetUserValue(bufferKey, x.out)
	if c, ok := ctx.Conn().(*conn); ok {
		c.secret = true
		c.serving.Store(true)
		c.since.Store(x.start.UnixNano())
	}
	x.identify(s.o.Spans)
}

// expect answers a request whose client waits before it sends the body (Expect: 100-continue), if the header alone
// shows that it will be refused. fasthttp then sends what is in ctx, and closes the connection.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	var x exchange
	s.begin(&x, ctx)
	f := s.admit(&x)
	if f == nil {
		return fasthttp.StatusContinue // handle will begin anew
	}
	x.fail(f)
	lingering(ctx, x.route.maxBody())
	s.finish(&x)
	return x.status
}

// bufferKey is the key of the answer's buffer among the user values.
var bufferKey any = "buffer"

// dispatch runs the route. A panic becomes an internal error: fasthttp does not recover panics, and one request must
// not end the others.
func (s *Server) dispatch(x *exchange) (f *fault) {
	defer func() {
		if recover() != nil {
			// The panic's value is dropped unread, since it may quote the request.
			id, traced := x.ids()
			s.o.Log.Error("handler panicked", slog.String("route", x.route.String()), id, traced)
			f = faultOf(wire.Internal, 0)
		}
	}()
	if f := s.admit(x); f != nil {
		return f
	}
	x.status, x.code = fasthttp.StatusOK, "ok"
	switch x.route {
	case RouteDecrypt:
		return s.decrypt(x, reference)
	case RouteV1Decrypt:
		return s.decrypt(x, v1)
	case RouteBatch:
		return s.batch(x)
	case RouteDomains, RouteDomainWrap, RouteVaultKeys, RouteReseal:
		return s.writeDomains(x)
	case RouteAttestation:
		return s.attestation(x)
	case RouteEnclaves:
		x.out.b = s.o.Enclaves(x.out.b)
	case RouteHealth:
		x.out.text(`{"status":"ok"}`)
	case RouteReady:
		return s.ready(x)
	case RouteUnknown:
		return faultNotFound
	default:
		// A table of handlers would say this at compile time, and move each exchange to the heap.
		return faultOf(wire.Internal, 0)
	}
	return nil
}

var hOrigin = []byte("Origin")

// foreign applies the site's rules to everything that says where a request goes and where it comes from.
func foreign(site *h1.Site, h *fasthttp.RequestHeader) *h1.SiteError {
	host := h.Host()
	if target := h1.Authority(h.RequestURI()); len(target) > 0 {
		if refused := site.Host(target); refused != nil {
			return refused
		}
	}
	if refused := site.Host(host); refused != nil || len(h.PeekBytes(hOrigin)) == 0 {
		return refused
	}
	for _, o := range h.PeekAll(string(hOrigin)) {
		if refused := site.Origin(o, host); refused != nil {
			return refused
		}
	}
	return nil
}

// admit checks what the header alone shows.
func (s *Server) admit(x *exchange) *fault {
	ctx, info := x.ctx, &routes[x.route]
	if s.o.Site != nil {
		if refused := foreign(s.o.Site, &ctx.Request.Header); refused != nil {
			return &fault{status: refused.Status, code: codeBadRequest, text: refused.Error()}
		}
	}
	if !info.open && s.o.Auth != nil {
		var ok bool
		if x.caller, ok = s.o.Auth.allow(ctx); !ok {
			// A caller without a credential does not keep its connection.
			ctx.SetConnectionClose()
			if n := ctx.Request.Header.ContentLength(); n > 0 || n == -1 { // -1: chunked
				lingering(ctx, x.route.maxBody())
			}
			return faultAuth
		}
	}
	if c, ok := ctx.Conn().(*conn); ok && !info.open && !c.known.Load() {
		c.known.Store(true)
	}
	switch {
	case x.route == RouteUnknown:
		return faultNotFound
	case info.post && !ctx.IsPost(), !info.post && !ctx.IsGet() && !ctx.IsHead():
		return faultMethod
	case info.post && !isJSON(ctx):
		return faultContentType
	case info.post && !plain(ctx):
		return faultContentEncoding
	case ctx.Request.Header.ContentLength() > x.route.maxBody():
		lingering(ctx, x.route.maxBody())
		return faultTooLarge
	}
	return nil
}

var (
	typeJSON    = []byte("application/json")
	typeProblem = []byte("application/problem+json")

	hCacheControl = []byte("Cache-Control")
	hNoStore      = []byte("no-store")
	hNoSniff      = []byte("nosniff")
	hSniff        = []byte("X-Content-Type-Options")
	hRetryAfter   = []byte("Retry-After")
	hAllow        = []byte("Allow")
	hGetHead      = []byte("GET,HEAD")
	hPost         = []byte("POST")
	hAuthenticate = []byte("Www-Authenticate")
	hBearer       = []byte("Bearer")
)

// finish sends what x holds, and reports to metrics and log.
func (s *Server) finish(x *exchange) {
	resp := &x.ctx.Response
	h := &resp.Header
	resp.SetStatusCode(x.status)
	resp.SetBodyRaw(x.out.b)
	if len(x.out.b) > 0 && len(h.ContentType()) == 0 {
		h.SetContentTypeBytes(typeJSON)
	}
	h.SetCanonical(hCacheControl, hNoStore)
	h.SetCanonical(hSniff, hNoSniff)
	if s.draining.Load() {
		x.ctx.SetConnectionClose()
	}
	took := time.Since(x.start)
	s.o.Observer.Request(x.route, x.status, x.code, took, x.exemplar())
	s.record(x, took)
	s.log(x, took)
}

// fail makes the answer an error.
func (x *exchange) fail(f *fault) {
	h := &x.ctx.Response.Header
	x.status, x.code = f.status, f.code
	if n := f.retryAfter(); n > 0 {
		h.SetCanonical(hRetryAfter, fasthttp.AppendUint(nil, n))
	}
	switch f {
	case faultMethod:
		allow := hGetHead
		if routes[x.route].post {
			allow = hPost
		}
		h.SetCanonical(hAllow, allow)
	case faultAuth:
		h.SetCanonical(hAuthenticate, hBearer)
	}
	if !x.problem && (f == faultMethod || f == faultNotFound) {
		x.out.b = x.out.b[:0] // as the reference's router: no body
		return
	}
	x.out.fault(f, x.problem, x.requestID())
	if x.problem {
		h.SetContentTypeBytes(typeProblem)
	}
}

// fault replaces the buffer's content by an error body: RFC 9457 problem details with the request's id as an
// extension member, or the reference's form.
func (b *buffer) fault(f *fault, problem bool, requestID []byte) {
	clear(b.b)
	b.b = b.b[:0]
	if !problem {
		text := f.text
		if f.code == wire.Internal.String() {
			text = fasthttp.StatusMessage(f.status) // the reference's
		}
		b.text(`{"code":`)
		b.int(f.status)
		b.text(`,"message":"`)
		b.inner([]byte(text))
		b.text(`"}`)
		return
	}
	b.text(`{"type":"urn:redoubt:problem:`)
	b.text(f.code)
	b.text(`","title":"`)
	b.text(fasthttp.StatusMessage(f.status))
	b.text(`","status":`)
	b.int(f.status)
	b.text(`,"code":"`)
	b.text(f.code)
	b.text(`","detail":"`)
	b.inner([]byte(f.text))
	b.text(`"`)
	b.domain(f)
	b.unopened(f)
	b.text(`,"request_id":"`)
	b.inner(requestID)
	b.text(`"}`)
}

// domain appends the member that names the domain that the enclave lacks.
func (b *buffer) domain(f *fault) {
	if f.domain == "" {
		return
	}
	b.text(`,"` + parentapi.MemberDomain + `":"`)
	b.text(f.domain)
	b.text(`"`)
}

// unopened appends the member that names the fields that do not open.
func (b *buffer) unopened(f *fault) {
	for i, name := range f.fields {
		if i == 0 {
			b.text(`,"` + parentapi.MemberFields + `":[`)
		} else {
			b.text(",")
		}
		b.str([]byte(name))
	}
	if len(f.fields) > 0 {
		b.text("]")
	}
}

// refuse answers bytes that are not a readable HTTP request. fasthttp closes the connection afterwards.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	x := exchange{ctx: ctx, start: time.Now(), out: newBuffer()}
	ctx.SetUserValue(bufferKey, x.out)
	x.identify(s.o.Spans)
	x.fail(readFault(err))
	lingering(ctx, MaxBody)
	s.finish(&x)
}

// upstreamFault is the fault for an error of the upstream.
func upstreamFault(err error, route Route) *fault {
	var we *wire.Error
	switch {
	case errors.As(err, &we):
		return faultOf(we.Code, we.RetryAfterMS)
	case errors.Is(err, pool.ErrNoEnclave):
		if route == RouteDecrypt {
			return faultNoEnclaves
		}
		return faultNoneReady
	case errors.Is(err, pool.ErrNoneReady):
		return faultNoneReady
	case errors.Is(err, pool.ErrUnanswered):
		return faultUnanswered
	case errors.Is(err, pool.ErrNoPaddedReply):
		return faultNoPaddedReply
	case errors.Is(err, pool.ErrNoDomains):
		return faultNoDomains
	case errors.Is(err, pool.ErrRecordRefused):
		return faultRecordRefused
	case errors.Is(err, pool.ErrDomainNotKept):
		return faultDomainNotKept
	case errors.Is(err, context.DeadlineExceeded):
		return faultOf(wire.DeadlineExceeded, 0)
	}
	return faultOf(wire.Internal, 0)
}

// plain reports whether the body has no content encoding: we decode none, and the bytes of an encoded body would be
// misread.
func plain(ctx *fasthttp.RequestCtx) bool {
	for _, encoding := range ctx.Request.Header.PeekAll("Content-Encoding") {
		if !bytes.EqualFold(bytes.TrimSpace(encoding), []byte("identity")) {
			return false
		}
	}
	return true
}

// isJSON reports whether the request declares its body as JSON, by the rule of the reference's framework:
// application/json or application/*+json, any parameters, any case.
func isJSON(ctx *fasthttp.RequestCtx) bool {
	t, _, _ := bytes.Cut(ctx.Request.Header.ContentType(), []byte{';'})
	t = bytes.TrimSpace(t)
	const app = "application/"
	if len(t) < len(app) || !bytes.EqualFold(t[:len(app)], []byte(app)) {
		return false
	}
	sub := t[len(app):]
	return bytes.EqualFold(sub, []byte("json")) || len(sub) > 5 && bytes.EqualFold(sub[len(sub)-5:], []byte("+json"))
}
