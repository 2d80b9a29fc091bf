package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/program"
)

// Limits of the listeners.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 360 * time.Second // above the 350 s of a network load balancer, so that it closes first
	maxHeader         = 64 << 10
)

// Serve is the command that serves the API: its fields are the flags.
type Serve struct {
	Listen        string        `help:"${h_listen}" env:"API_LISTEN" default:"127.0.0.1:8000" placeholder:"HOST:PORT"`
	MetricsListen string        `help:"${h_metrics}" env:"API_METRICS_LISTEN" default:"${metrics}"`
	MetricsHosts  []string      `name:"metrics-host" help:"${h_metricshost}" env:"API_METRICS_HOST" placeholder:"NAME"`
	LogLevel      string        `help:"${h_log_level}" env:"API_LOG_LEVEL" default:"info" enum:"debug,info,warn,error"`
	DrainDelay    time.Duration `help:"${h_drain_delay}" env:"API_DRAIN_DELAY" default:"0s"`
	TLS           *tls.Config   `kong:"-"`
	DrainTimeout  time.Duration `help:"${h_drain_timeout}" env:"API_DRAIN_TIMEOUT" default:"8s"`

	MaxConnections int `help:"${h_maxconnections}" env:"API_MAX_CONNECTIONS" default:"10000"`

	Admin string `help:"${h_admin}" env:"API_ADMIN" placeholder:"FILE"`

	InsecurePlainHTTP bool `name:"insecure-plain-http" help:"${h_plain}" env:"API_INSECURE_PLAIN_HTTP"`

	appFlags  `embed:""`
	authFlags `embed:""`
}

// spareHeap is how much garbage, in bytes, there may be before a collection, beside as much as is in use. The API has
// only about 10 MB in use, so without it a collection would run after every 500 decrypts. The memory itself is never
// touched, so the kernel provides none for it.
const spareHeap = 32 << 20

// ParseServe reads the flags of Serve and their environment variables.
func ParseServe(args []string, version string) (*Serve, error) {
	var c commands
	parser, err := newParser(&c, version, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return &c.Serve, err
}

// Run serves until the context ends or SIGINT or SIGTERM comes.
func (cmd *Serve) Run(e *env) error {
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	spare := make([]byte, spareHeap)
	defer runtime.KeepAlive(spare)
	s, err := cmd.Start(ctx, e.version, logger(e, cmd.LogLevel))
	if err != nil {
		return err
	}
	return s.Wait()
}

// Server is an API that was started.
type Server struct {
	address string
	bound   chan struct{} // closed once it serves
	done    chan struct{} // closed when it has ended, with err
	err     error
}

// Start serves until ctx ends and then drains. It returns once the API serves, or with the reason why it does not.
func (cmd *Serve) Start(ctx context.Context, version string, log *slog.Logger) (*Server, error) {
	s := &Server{bound: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = cmd.serve(ctx, version, log, s)
	}()
	select {
	case <-s.bound:
	case <-s.done:
		select {
		case <-s.bound: // it has served, and ended already
		default:
			return nil, s.err
		}
	}
	return s, nil
}

// Address is the host:port that is served on.
func (s *Server) Address() string { return s.address }

// Wait waits until the API has ended. It returns nil if no request was cut off.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

func (cmd *Serve) serve(ctx context.Context, version string, log *slog.Logger, s *Server) error {
	if err := errors.Join(
		program.Range("--drain-delay", cmd.DrainDelay, 0, program.MaxWait),
		program.Range("--drain-timeout", cmd.DrainTimeout, time.Millisecond, program.MaxWait),
		program.Range("--max-connections", cmd.MaxConnections, 1, 1_000_000),
	); err != nil {
		return err
	}
	authn, err := cmd.authenticators(ctx)
	if err != nil {
		return err
	}
	if err := mayListen(cmd.Listen, len(authn) > 0, cmd.TLSCertFile != "" || cmd.InsecurePlainHTTP); err != nil {
		return err
	}
	if cmd.TLS, err = cmd.tls(); err != nil {
		return err
	}
	a, err := build(ctx, version, log, &cmd.appFlags, authn)
	if err != nil {
		return err
	}
	defer a.close()
	closeAdmin, err := cmd.admin(ctx, a, log)
	if err != nil {
		return err
	}
	defer closeAdmin()
	return cmd.listen(ctx, a, log, s)
}

// app is the assembled API.
type app struct {
	handler  http.Handler
	metrics  *httpapi.Metrics
	vault    *vault.Service
	store    store.Store
	operator *operator
	draining atomic.Bool
	close    func()
}

// build assembles the API from its flags.
func build(ctx context.Context, version string, log *slog.Logger, f *appFlags, authn []httpapi.Authenticator) (
	*app, error,
) {
	if err := f.check(); err != nil {
		return nil, err
	}
	up, err := f.client(f.Region)
	if err != nil {
		return nil, err
	}
	spans, err := f.sink(version, log)
	if err != nil {
		return nil, err
	}
	st, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	a := &app{metrics: httpapi.NewMetrics(version), store: st, close: func() {
		up.Close()
		closeStore(st, log)
		closeSpans(spans, log)
	}}
	if counts, ok := st.(interface{ Damaged() uint64 }); ok {
		a.metrics.Damaged(counts.Damaged)
	}
	if counts, ok := st.(interface{ Inconsistent() uint64 }); ok {
		a.metrics.Inconsistent(counts.Inconsistent)
	}
	if file, ok := st.(*bolt.Store); ok {
		a.metrics.Full(file.Full)
	}
	keep, err := f.keeper(log)
	if err != nil {
		a.close()
		return nil, err
	}
	svc, keys, err := f.service(ctx, st, f.Region, up, a.metrics, f.CheckpointEvery, keep.kept)
	if err != nil {
		a.close()
		return nil, err
	}
	a.vault = svc
	a.metrics.Keyed(svc.Counts)
	a.operator = &operator{vault: svc, admin: &domainadmin.Admin{
		Store: st, Registry: domains.New(st, keys), KMS: keys, MACs: keys, Enclave: up, Journal: svc,
	}}
	release := a.close
	a.close = func() {
		closeVault(ctx, svc) // while the store is open, so that running writes can end
		release()
		keep.close()
	}
	if file, ok := st.(*bolt.Store); ok {
		file.Sweep(a.expiry) //nolint:contextcheck // it ends with the store
	}
	cfg := httpapi.Config{
		Vault: svc, Version: version, Authenticators: authn, Log: log, Metrics: a.metrics,
		Checks: checks(st, up, keys, svc, &a.draining),
	}
	if spans != nil {
		cfg.Spans = spans
		a.metrics.Registry.MustRegister(spans.Collectors("redoubt_api")...)
	}
	a.handler, err = httpapi.New(cfg)
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// expiry begins the audit entry of a vault that the store is about to remove.
func (a *app) expiry(ctx context.Context, id string) (*store.Entry, func(error), error) {
	p, err := a.vault.Expiring(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return p.Entry(), func(err error) {
		a.metrics.Audit(p.Entry().Event, carriedOutcome(err))
		p.Done(err)
	}, nil
}

func logger(e *env, text string) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(text)) // one of the flag's values
	return program.NewLogger(e.errOut, level)
}

// mayListen refuses an address that others can reach if callers need no authentication, or if keys and values would
// cross the network in the clear.
func mayListen(address string, authenticated, protected bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return hint(fmt.Errorf("--listen %s: not HOST:PORT", address), "for example 127.0.0.1:8000")
	}
	ip := net.ParseIP(host)
	switch {
	case host == "localhost" || ip != nil && ip.IsLoopback():
		return nil
	case !authenticated:
		return hint(fmt.Errorf("refusing to serve on %s without authentication", address),
			"set --keys, --oidc-issuer or --client-ca-file, or listen on 127.0.0.1")
	case !protected:
		return hint(fmt.Errorf("refusing to serve on %s without TLS", address),
			"set --tls-cert-file and --tls-key-file, or --insecure-plain-http behind a proxy that terminates TLS")
	}
	return nil
}

// closeVault makes the last checkpoint of the audit log. If there is none, the log has the reason already.
func closeVault(ctx context.Context, svc *vault.Service) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = svc.Close(ctx)
}

func closeStore(st store.Store, log *slog.Logger) {
	if err := st.Close(); err != nil {
		log.Error("store not closed cleanly", "error", err)
	}
}

var errDraining = errors.New("draining")

func checks(st store.Store, up *upstream.Client, keys *kmsclient.Client, svc *vault.Service,
	draining *atomic.Bool,
) []httpapi.Check {
	return []httpapi.Check{
		{Name: "store", Ask: st.Ping},
		{Name: "parent", Ask: up.Ready},
		{Name: "kms", Ask: func(ctx context.Context) error {
			_, err := keys.MAC(ctx, []byte("redoubt/v1/ready\x00"))
			return err
		}},
		{Name: "audit", Ask: svc.Ready},
		{Name: "serving", Ask: func(context.Context) error {
			if draining.Load() {
				return errDraining
			}
			return nil
		}},
	}
}

// listen serves the API and the metrics until ctx ends, then drains.
func (cmd *Serve) listen(ctx context.Context, a *app, log *slog.Logger, s *Server) error {
	limit := h1.NewLimit(cmd.MaxConnections, a.metrics.ConnectionShed)
	api := server(limit.Handler(a.handler))
	api.ConnContext = limit.ConnContext
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cmd.Listen)
	if err != nil {
		return hint(err, "is another api running? choose another --listen")
	}
	s.address = l.Addr().String()
	failed := make(chan error, 2)
	go func() { failed <- api.Serve(strict(limit.Listener(l), cmd.TLS)) }()
	if cmd.MetricsListen != "off" {
		stop, err := cmd.serveMetrics(ctx, a.metrics, failed, log)
		if err != nil {
			return errors.Join(err, api.Close())
		}
		defer stop()
	}
	log.Info("serving", "address", s.address, "tls", cmd.TLS != nil)
	close(s.bound)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	a.draining.Store(true)
	log.Info("draining")
	<-time.After(cmd.DrainDelay)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmd.DrainTimeout)
	defer cancel()
	if err := api.Shutdown(end); err != nil {
		return hint(fmt.Errorf("requests were cut off: %w", err), "raise --drain-timeout")
	}
	log.Info("stopped")
	return nil
}

func (cmd *Serve) serveMetrics(ctx context.Context, m *httpapi.Metrics, failed chan<- error,
	log *slog.Logger,
) (stop func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cmd.MetricsListen)
	if err != nil {
		return nil, hint(err, "choose another --metrics-listen, or off")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	site := h1.Site{Names: cmd.MetricsHosts, Flag: "--metrics-host"}
	s := server(site.Guard(h1.AsSent(mux)))
	go func() { failed <- s.Serve(h1.Listener{Listener: l}) }()
	log.Info("serving metrics", "address", l.Addr().String())
	return func() { _ = s.Close() }, nil // the process ends
}

// strict makes l read only HTTP/1 that has one reading. config is nil for plain HTTP.
func strict(l net.Listener, config *tls.Config) net.Listener {
	if config == nil {
		return h1.Listener{Listener: l}
	}
	return h1.NewTLSListener(l, config, readHeaderTimeout)
}

func server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(slog.DiscardHandler,
			slog.LevelError), ConnContext: h1.ConnContext,
	}
}
