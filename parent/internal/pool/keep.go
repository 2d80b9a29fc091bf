package pool

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

const (
	// dialTimeout bounds connecting and the exchange of hellos.
	dialTimeout = 3 * time.Second
	// firstRetry is the first backoff.
	firstRetry = 50 * time.Millisecond
	// steady is how long a session must have lived before the backoff starts over.
	steady = 5 * time.Second
	// pushTimeout bounds the transfer of credentials. pushRetry is the wait after a failure.
	pushTimeout = 3 * time.Second
	pushRetry   = time.Second
	// missedPings is how many pings a session may leave unanswered.
	missedPings = 3
	// drainTimeout bounds the end of a session whose enclave was removed from the pool.
	drainTimeout = 10 * time.Second
)

// backoff is exponential, with full jitter: a uniform wait up to a bound that doubles.
type backoff struct {
	bound, most time.Duration
}

func (b *backoff) next() time.Duration {
	if b.bound == 0 {
		b.bound = min(firstRetry, b.most)
	}
	wait := time.Duration(rand.Int64N(int64(b.bound))) //nolint:gosec // jitter, not a secret
	b.bound = min(2*b.bound, b.most)
	return wait
}

func (b *backoff) reset() { b.bound = 0 }

// keep keeps one session open until ctx ends.
func (p *Pool) keep(ctx context.Context, l *link) {
	wait := backoff{most: p.o.RetryMax}
	down := false
	for {
		opened := time.Now()
		err := p.guarded(ctx, l)
		if ctx.Err() != nil {
			return
		}
		if time.Since(opened) > steady {
			wait.reset()
		}
		if !down {
			p.o.Log.Warn("session is down", slog.String("enclave", l.enclave.url), slog.String("cause", cause(err)))
		}
		down = !errors.Is(err, errLived)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.next()):
		}
	}
}

// errLived wraps the reason why a session ended that had been open.
var errLived = errors.New("session ended")

// cause turns a session's end into a static text: a peer must not decide what is logged.
func cause(err error) string {
	for _, known := range []error{
		session.ErrHello, session.ErrVersion, session.ErrProtocol, session.ErrLiveness, session.ErrWriteTimeout,
		session.ErrOverflow, session.ErrFault, session.ErrDraining, session.ErrClosed, transport.ErrPrivilege,
		transport.ErrPorts, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "cannot connect"
}

// guarded is session with recovery. A panic while an enclave's bytes are processed ends that session, and not the
// process.
func (p *Pool) guarded(ctx context.Context, l *link) (err error) {
	defer func() {
		if recover() != nil {
			p.panicked(l)
			err = session.ErrFault
		}
	}()
	return p.session(ctx, l)
}

func (p *Pool) panicked(l *link) {
	p.o.Observer.SessionPanicked()
	p.o.Log.Error("a session panicked and was ended", slog.String("enclave", l.enclave.url))
}

// session opens one session and serves it until it ends. When ctx ends, the session drains.
func (p *Pool) session(ctx context.Context, l *link) error {
	c, err := p.connect(ctx, l)
	if err != nil {
		p.o.Observer.DialFailed()
		return err
	}
	defer func() {
		l.client.Store(nil)
		l.bits.Store(0)
		_ = c.Close()
	}()
	l.enclave.met(c.Peer())
	p.o.Observer.SessionOpened()
	defer p.o.Observer.SessionLost()
	changed, wait := p.push(ctx, c)
	p.ping(ctx, l, c)
	l.client.Store(c)
	p.o.Log.Info("session is open", slog.String("enclave", l.enclave.url), slog.String("id", string(c.Peer().EnclaveID)),
		slog.String("features", c.Features().String()))
	for {
		select {
		case <-c.Done():
			return errors.Join(errLived, c.Err())
		case <-ctx.Done():
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			return errors.Join(errLived, c.Drain(drain))
		case <-changed:
		case <-wait:
		}
		changed, wait = p.push(ctx, c)
		p.ping(ctx, l, c)
	}
}

func (p *Pool) connect(ctx context.Context, l *link) (*session.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := l.enclave.dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return session.NewClient(ctx, conn, session.ClientConfig{
		Config:       session.Config{Hello: p.hello(), Budget: p.budget},
		MaxInFlight:  p.o.MaxInFlight,
		PingInterval: p.o.PingEvery,
		PingTimeout:  missedPings * p.o.PingEvery,
		OnLog:        p.enclaveLog(context.WithoutCancel(ctx), l.enclave.url),
		OnEgress:     p.o.Egress,
		OnPong: func(m wire.Pong, rtt time.Duration) {
			l.pong(m, rtt)
			p.o.Observer.PingTook(rtt)
		},
		OnPanic:  func(any) { p.panicked(l) },
		OnGoAway: func(wire.Code) { l.bits.Store(0) },
	})
}

func (p *Pool) hello() wire.Hello {
	return wire.Hello{StartMS: started.UnixMilli(), BuildID: []byte(p.o.Build), Features: p.o.Features}
}

var started = time.Now()

// push gives the session the current credentials. It returns what to wait for before the next push: a change and,
// after a failure, a pause.
func (p *Pool) push(ctx context.Context, c *session.Client) (changed <-chan struct{}, wait <-chan time.Time) {
	if p.o.Credentials == nil {
		return nil, nil
	}
	changed = p.o.Credentials.Changed() // before With, or a change between the two would be missed
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	pushed := false
	err := p.o.Credentials.With(func(m *wire.Credentials) error {
		pushed = true
		return c.SetCredentials(ctx, m)
	})
	if !pushed && err == nil {
		return changed, nil
	}
	p.o.Observer.CredentialsPushed(err == nil)
	if err != nil {
		p.o.Log.Warn("enclave did not take credentials", slog.String("cause", cause(err)))
		return changed, time.After(pushRetry)
	}
	return changed, nil
}

// ping asks for the enclave's state now instead of at the next regular ping.
func (p *Pool) ping(ctx context.Context, l *link, c *session.Client) {
	ctx, cancel := context.WithTimeout(ctx, missedPings*p.o.PingEvery)
	defer cancel()
	began := time.Now()
	if m, err := c.Ping(ctx); err == nil {
		l.pong(m, time.Since(began))
	}
}

// enclaveLog forwards the enclave's log. Its text is static at the other end, but it is treated as foreign here: it
// is only ever an attribute.
func (p *Pool) enclaveLog(ctx context.Context, url string) func(*wire.Log) {
	log := p.o.Log.With(slog.String("enclave", url))
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	return func(m *wire.Log) {
		level := levels[min(int(m.Level), len(levels)-1)]
		if !log.Enabled(ctx, level) {
			return
		}
		numbers := make([]any, 0, len(m.Numbers))
		for _, n := range m.Numbers {
			numbers = append(numbers, slog.Int64(string(n.Key), n.Value))
		}
		log.LogAttrs(ctx, level, "enclave log", slog.String("text", string(m.Text)), slog.Group("values", numbers...),
			slog.Uint64("dropped", m.Dropped))
	}
}
