package front

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
	"redoubt/wire/parentapi"
	"redoubt/wire/session"
)

// These are limits of bodies and headers, in bytes.
const (
	MaxBody      = parentapi.MaxBody
	MaxBatchBody = parentapi.MaxBatchBody
	maxHeader    = 16 << 10
	// maxBatchAnswer bounds the answer of one batch. Items beyond it are refused.
	maxBatchAnswer = 64 << 20
)

// Upstream answers requests: it is the pool of sessions.
type Upstream interface {
	// Do sends msg to an enclave and returns its answer, which the caller MUST Release. It fails with a *wire.Error,
	// which the enclave answered or which describes what happened on the way, or with an error of package pool.
	Do(ctx context.Context, ask pool.Ask, msg wire.LaneMessage) (*session.Call, error)
	// Start and Finish do so in two steps, for many requests at once: Start sends msg, done gets the call, and Finish
	// says what became of it.
	Start(ask pool.Ask, msg wire.LaneMessage, user any, done chan<- *session.Call) error
	Finish(ctx context.Context, ask pool.Ask, msg wire.LaneMessage, call *session.Call) (*session.Call, error)
	// Attest returns a document over nonce and the enclave's id. Errors as Do.
	Attest(ctx context.Context, nonce []byte) (document []byte, enclave string, err error)
}

// Check is one condition of readiness.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail says more if there is more to say, in words of a closed set.
	Detail string `json:"detail,omitempty"`
	// Of is the condition to which this one belongs. If that one is excluded, this one is excluded too.
	Of string `json:"-"`
}

// Observer is told of each request once it is answered (not yet written). Code is one of a closed set: "ok", those of
// wire.Code, and the front's own. Exemplar is the trace of a sampled request, and zero for any other.
type Observer interface {
	Request(r Route, status int, code string, took time.Duration, exemplar trace.ID)
	BatchItem(status int, code string)
	// ConnectionShed is called for each connection that ends or is refused because MaxConnections are open.
	ConnectionShed(s h1.Shed)
}

// Options are what a Server needs. Durations and counts MUST be positive.
type Options struct {
	Upstream Upstream
	// Ready reports all conditions of readiness. It runs on each /ready and must be quick.
	Ready func() []Check
	// Enclaves appends the JSON array of GET /enclaves.
	Enclaves func(dst []byte) []byte
	Observer Observer
	// Spans takes the spans of sampled requests. If it is nil, none are made.
	Spans trace.Sink
	Log   *slog.Logger
	// Auth decides who may ask. nil admits everyone.
	Auth *Auth
	// Site keeps web pages of other sites out where callers need no authentication. nil admits them.
	Site *h1.Site
	// TLS is the listener's configuration; nil for plain HTTP.
	TLS *tls.Config

	RequestTimeout, BatchTimeout time.Duration
	HeaderTimeout, BodyTimeout   time.Duration
	WriteTimeout, IdleTimeout    time.Duration
	MaxConnections, BatchFanOut  int
	// AccessLog logs each request; otherwise only failures of ours (5xx) and refusals (401, 403), at a bounded rate.
	AccessLog bool
}

// Server serves the routes. Make one with New.
type Server struct {
	o        Options
	http     *fasthttp.Server
	bodies   budget.Budget
	answers  budget.Budget
	draining atomic.Bool
	registry *registry
	logRate  *rate.Limiter
}

// logsPerSecond bounds the log lines about failed requests.
const logsPerSecond = 50

// New makes a server. It does not listen yet.
func New(o Options) *Server {
	s := &Server{
		o: o, registry: newRegistry(o.MaxConnections, o.Observer.ConnectionShed),
		logRate: rate.NewLimiter(logsPerSecond, logsPerSecond),
	}
	s.bodies.Give(bodyBudget)
	s.answers.Give(answerBudget)
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.refuse,
		HeaderReceived:               s.header,
		ExpectHandler:                s.expect,
		ConnState:                    connState,
		Logger:                       quiet{},
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		StreamRequestBody:            true, // handlers read the body, under limits of the route
		ReadBufferSize:               maxHeader,
		MaxRequestBodySize:           MaxBody,
		ReadTimeout:                  o.HeaderTimeout,
		WriteTimeout:                 o.WriteTimeout,
		IdleTimeout:                  o.IdleTimeout,
		Concurrency:                  o.MaxConnections + spareWorkers,
	}
	return s
}

// Serve answers requests from ln until Shutdown. It owns ln.
func (s *Server) Serve(ln net.Listener) error {
	l := &listener{Listener: ln, config: s.o.TLS, registry: s.registry}
	if !s.registry.open(l) {
		return l.Close()
	}
	defer s.registry.shut(l)
	return s.http.Serve(l)
}

// StartDraining makes each answer from now on end its connection, so that clients move away before Shutdown.
func (s *Server) StartDraining() { s.draining.Store(true) }

// Draining reports whether StartDraining was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Shutdown closes the listener, lets requests in flight end, and closes idle connections, but none on which a request
// has reached this host. If that takes longer than ctx, it returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.StartDraining()
	return s.registry.drain(ctx)
}

// header gives the body a time limit of its own, once the header is known. A body that will be refused for its length
// is not waited for. fasthttp would read 8 KiB of it before it calls a handler, so expect is called instead.
func (s *Server) header(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if n := h.ContentLength(); n > MaxBody && n > routeOf(h1.Path(h.RequestURI())).maxBody() {
		h.SetProtocol("HTTP/1.1") // so that expectations are known; the connection is closed anyway
		h.Set("Expect", "100-continue")
	}
	return fasthttp.RequestConfig{ReadTimeout: s.o.BodyTimeout}
}

// quiet drops fasthttp's own log: it may quote input.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
