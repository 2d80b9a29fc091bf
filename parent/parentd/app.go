// Package parentd starts the parent: for its main, and for programs that run several tiers in one process. It is the
// one package of the tier that others may import, and they import it for development and tests alone.
//
// [Start] puts the parent together from its configuration, serves until its context ends, and drains. What changes the
// process as a whole is main's to call, before: [Harden].
package parentd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"redoubt/parent/internal/config"
	"redoubt/parent/internal/credentials"
	"redoubt/parent/internal/egress"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/lifecycle"
	"redoubt/parent/internal/metrics"
	"redoubt/parent/internal/pool"
	"redoubt/parent/internal/probe"
	"redoubt/wire"
	"redoubt/wire/kit/trace/otlp"
)

// Config is the content of the parent's flags and variables: see [Parse].
type Config = config.Config

// ExitError is returned by Parse if there is nothing to start, for example after --help. It is the status to exit
// with.
type ExitError = config.ExitError

// Parse reads the parent's flags and environment variables. What --help and --version print goes to out.
func Parse(args []string, version string, out io.Writer) (*Config, error) {
	return config.Parse(args, version, out)
}

// Environment has the settings that are not in the configuration.
type Environment struct {
	// Version names the build, to enclaves and in the metrics.
	Version string
	Log     *slog.Logger
	// Features are announced to enclaves; 0: all of this build. Simulations roll between versions by it.
	Features wire.Features
}

// Parent is a started parent.
type Parent struct {
	c       *config.Config
	log     *slog.Logger
	metrics *metrics.Metrics
	creds   *credentials.Store
	imds    *credentials.IMDS // nil when credentials come from elsewhere
	egress  *egress.Proxy
	pool    *pool.Pool
	manager *lifecycle.Manager // nil with --enclave or --skip-refresh-enclaves
	prober  *probe.Prober
	front   *front.Server

	// These are the keys that open /metrics and /purge for other hosts. They are nil without a file of such keys.
	readers, operators *front.Auth

	spans *otlp.Exporter // nil without a collector

	frontLn, metricsLn net.Listener
	reload             []*reloader

	done chan struct{} // closed when run has ended, with err
	err  error
}

// Start makes a parent that serves until ctx ends and then drains: /ready fails, after --ready-wait the listener
// closes, requests in flight end, then sessions. It returns once the listeners are bound, or with the reason why they
// are not; what can fail fails before anything is served.
func Start(ctx context.Context, c *Config, env Environment) (*Parent, error) {
	a, err := assemble(c, env)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(a.done)
		a.err = a.run(ctx)
	}()
	return a, nil
}

// Wait waits until the parent has ended. It returns nil if all requests and sessions ended in time.
func (a *Parent) Wait() error {
	<-a.done
	return a.err
}

// Address is the host:port on which requests are accepted.
func (a *Parent) Address() string { return a.frontLn.Addr().String() }

// MetricsAddress is the host:port of the operator's routes, "" if there are none.
func (a *Parent) MetricsAddress() string {
	if a.metricsLn == nil {
		return ""
	}
	return a.metricsLn.Addr().String()
}

// assemble makes everything and binds the listeners.
func assemble(c *Config, env Environment) (a *Parent, err error) {
	log, version := env.Log, env.Version
	a = &Parent{c: c, log: log, metrics: metrics.New(version), done: make(chan struct{})}
	proxy, err := egress.New(egress.Options{
		Regions: c.KMS.Region, Allow: c.KMS.Egress, MaxConns: c.KMS.EgressConns, Idle: c.KMS.EgressIdle,
		Observer: a.metrics,
	})
	if err != nil {
		return nil, err
	}
	a.egress = proxy
	from := source(&c.KMS)
	a.imds, _ = from.(*credentials.IMDS)
	a.creds = credentials.NewStore(from, a.metrics, log)
	a.pool = pool.New(pool.Options{
		Sessions: c.Enclaves.Sessions, MaxInFlight: c.Enclaves.MaxInFlight, PingEvery: c.Enclaves.PingEvery,
		RetryMax: c.Enclaves.RetryMax, Credentials: a.creds, Egress: proxy.Dial, Observer: a.metrics, Log: log,
		Build: version, Features: env.Features,
	})
	a.metrics.AddEnclaves(a.pool)
	a.watch()
	if err := a.probe(); err != nil {
		return nil, err
	}
	if err := a.enclaves(); err != nil {
		return nil, err
	}
	if err := a.trace(version); err != nil {
		return nil, err
	}
	if err := a.serve(); err != nil {
		return nil, err
	}
	return a, a.listen()
}

// trace makes the exporter of spans, if there is a collector.
func (a *Parent) trace(version string) (err error) {
	t := &a.c.Trace
	a.spans, err = otlp.Open(otlp.Settings{
		Endpoint: t.OTLPEndpoint, HeadersFile: t.Headers, CAFile: t.CA, Ratio: t.Ratio,
	}, "redoubt-parent", version, a.log)
	if err != nil || a.spans == nil {
		return err
	}
	a.metrics.Registry.MustRegister(a.spans.Collectors(metrics.Namespace)...)
	return nil
}

// spansTimeout bounds the sending of the last spans.
const spansTimeout = 2 * time.Second

// closeSpans sends the last spans, after the last request. The exporter counts and logs those that cannot be sent.
func (a *Parent) closeSpans(ctx context.Context) {
	if a.spans == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spansTimeout)
	defer cancel()
	if err := a.spans.Close(ctx); err != nil {
		a.log.Warn("the last spans were not sent in time")
	}
}

// source is the source of the credentials.
func source(c *config.KMS) credentials.Source {
	switch c.Credentials {
	case "static":
		return credentials.File(c.StaticFile)
	case "env":
		return credentials.Env{}
	}
	return credentials.NewIMDS(c.IMDSEndpoint, c.Role)
}

// enclaves fills the pool from the flags, or prepares nitro-cli to do it.
func (a *Parent) enclaves() error {
	if len(a.c.Enclaves.Enclave) > 0 || a.c.LifeCycle.SkipRefresh {
		return a.pool.Set(a.c.Enclaves.Enclave)
	}
	l := &a.c.LifeCycle
	a.manager = lifecycle.New(lifecycle.Options{
		CLI:   lifecycle.NitroCLI{Path: l.NitroCLI},
		Image: l.EIF, CPUs: l.CPUs, MemoryMiB: l.MemoryMiB, Name: l.NamePrefix, Measurements: l.Measurements,
		Port: l.Port, Wanted: l.Count, Passive: l.SkipRun, Every: l.RefreshEvery,
		Pool: a.pool, Observer: a.metrics, Log: a.log,
	})
	return nil
}

// watch exposes values that are read when they are asked for.
func (a *Parent) watch() {
	a.metrics.Watch(metrics.Ready, func() float64 { return boolean(a.ready()) })
	a.metrics.Watch(metrics.Draining, func() float64 { return boolean(a.front != nil && a.front.Draining()) })
	a.metrics.Watch(metrics.CredentialsValid, func() float64 { return boolean(a.creds.Valid()) })
	a.metrics.Watch(metrics.CredentialsLife, a.credentialsLife)
	a.metrics.Watch(metrics.FilesStale, a.stale)
	a.metrics.Watch(metrics.KnownEnclaves, func() float64 { return float64(a.pool.Known()) })
	a.metrics.Watch(metrics.RequestsInFlight, func() float64 { return float64(a.pool.InFlight()) })
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// run serves until ctx ends, and then drains.
func (a *Parent) run(ctx context.Context) error {
	defer a.closeSpans(ctx)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { a.creds.Run(work) })
	wg.Go(func() { a.watchFiles(work) })
	wg.Go(func() { a.findRegion(work) })
	wg.Go(func() { a.prober.Run(work) })
	if a.manager != nil {
		wg.Go(func() { a.manager.Run(work) })
	}
	failed := make(chan error, 2)
	wg.Go(func() { failed <- a.serveMetrics(work) })
	go func() { failed <- a.front.Serve(a.frontLn) }()
	attrs := []any{slog.String("listen", a.Address())}
	if a.metricsLn != nil {
		attrs = append(attrs, slog.String("metrics_listen", a.MetricsAddress()))
	}
	a.log.Info("serving", attrs...)
	var err error
	select {
	case <-ctx.Done():
		err = a.drain(context.WithoutCancel(ctx))
	case err = <-failed:
		err = fmt.Errorf("listener: %w", err)
		_ = a.pool.Close(expired(ctx))
	}
	stop()
	return err
}

// ErrDrain reports that requests were still in flight at the end of the drain's time.
var ErrDrain = errors.New("requests were cut off by the end of the drain timeout")

func (a *Parent) drain(ctx context.Context) error {
	o := &a.c.Operate
	a.log.Info("draining", slog.Duration("ready_wait", o.ReadyWait), slog.Duration("timeout", o.DrainTimeout))
	a.front.StartDraining()
	wait := time.NewTimer(o.ReadyWait)
	defer wait.Stop()
	<-wait.C
	ctx, cancel := context.WithTimeout(ctx, o.DrainTimeout)
	defer cancel()
	err := a.front.Shutdown(ctx)
	if cerr := a.pool.Close(ctx); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDrain, err)
	}
	a.log.Info("drained")
	return nil
}

// expired is a context that has ended.
func expired(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	return ctx
}
