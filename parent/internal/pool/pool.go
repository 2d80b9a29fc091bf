package pool

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

// These are errors of requests beside *wire.Error.
var (
	// ErrNoEnclave: the pool has no enclave at all.
	ErrNoEnclave = errors.New("no enclave is known")
	// ErrNoneReady: there are enclaves, but none can be asked at present.
	ErrNoneReady = errors.New("no enclave is ready")
	// ErrUnanswered: an enclave may have got the request, and its session ended. The request is not sent to another
	// enclave, since it might end that session as well.
	ErrUnanswered = errors.New("the enclave did not answer, and the request was not sent to another")
	// ErrNoPaddedReply: a request has a reply key, and each enclave that can be asked is of a version that does not
	// pad sealed answers.
	ErrNoPaddedReply = errors.New("no enclave pads sealed replies")
)

// Credentials is the pool's source of the enclaves' credentials.
type Credentials interface {
	// With calls use with the current credentials, which use must not keep. If there are none, use is not called.
	With(use func(m *wire.Credentials) error) error
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// Observer is told what happens to sessions. Methods must be quick and safe for concurrent use.
type Observer interface {
	// SessionOpened and SessionLost come in pairs. If dialling fails, DialFailed comes instead of both.
	SessionOpened()
	SessionLost()
	DialFailed()
	// SessionPanicked counts panics that were recovered; each ended a session.
	SessionPanicked()
	// Retried counts requests that were sent again on another session.
	Retried()
	// NotRetried counts requests whose session ended and that were not sent on another; see ErrUnanswered.
	NotRetried()
	// DomainHandedOver counts requests for which a domain's record was given to an enclave. ok: the domain is open.
	DomainHandedOver(ok bool)
	// DomainNotKept counts requests that ended with ErrDomainNotKept.
	DomainNotKept()
	// CredentialsPushed counts attempts to give an enclave credentials.
	CredentialsPushed(ok bool)
	// PingTook is the time of a ping and its answer.
	PingTook(d time.Duration)
}

// Options of a Pool. Counts and durations MUST be positive.
type Options struct {
	// Sessions per enclave.
	Sessions int
	// MaxInFlight bounds the requests in flight on one session.
	MaxInFlight int
	// PingEvery is the time between pings. A session that does not answer three of them is replaced.
	PingEvery time.Duration
	// Memory bounds, in bytes, what all sessions hold of long answers, half received or not yet released, and of
	// requests that are not written yet. An answer that finds no room is wire.Overloaded to its caller. 0:
	// DefaultMemory.
	Memory int64
	// RetryMax bounds the wait between two attempts to connect.
	RetryMax time.Duration
	// Credentials may be nil: then enclaves get none.
	Credentials Credentials
	// Egress connects an enclave to the outside, see session.ClientConfig.OnEgress. Nil refuses every target.
	Egress func(ctx context.Context, target string) (net.Conn, error)
	// Observer MUST NOT be nil.
	Observer Observer
	Log      *slog.Logger
	// Build is announced to enclaves.
	Build string
	// Features are announced too; 0: all of this build.
	Features wire.Features
}

// DefaultMemory is room for 128 of the largest answers at once. That is far more than a parent answers in the time
// that one takes, and a small part of the memory of any host that has enclaves.
const DefaultMemory = 256 << 20

// Pool is a changing set of enclaves and the sessions to them. All methods are safe for concurrent use.
type Pool struct {
	o      Options
	budget *session.Budget
	links  atomic.Pointer[[]*link] // links of all enclaves; the slice is never changed in place
	turn   atomic.Uint32
	ctx    context.Context //nolint:containedctx // the life of the pool's goroutines, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	enclaves []*enclave // in the order given to Set
	closed   bool
}

// New makes a pool without enclaves; see Set.
func New(o Options) *Pool {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	p := &Pool{o: o, budget: session.NewBudget(o.Memory)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.links.Store(&[]*link{})
	return p
}

// Set makes the enclaves at the given URLs the pool's enclaves. Sessions of enclaves that stay are not touched; those
// of others drain. A malformed URL is an error, and nothing changes.
func (p *Pool) Set(urls []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrNoneReady
	}
	var next []*enclave
	for _, url := range urls {
		if i := slices.IndexFunc(p.enclaves, func(e *enclave) bool { return e.url == url }); i >= 0 {
			next = append(next, p.enclaves[i])
			continue
		}
		d, err := transport.NewDialer(url)
		if err != nil {
			return err
		}
		next = append(next, newEnclave(url, d, p.o.Sessions))
	}
	old := p.enclaves
	p.enclaves = next
	for _, e := range old {
		if !slices.Contains(next, e) {
			e.stop()
		}
	}
	var links []*link
	for _, e := range next {
		links = append(links, e.links...)
		if !slices.Contains(old, e) {
			p.start(e)
		}
	}
	p.links.Store(&links)
	return nil
}

// start runs the goroutines of an enclave's sessions. The caller holds mu.
func (p *Pool) start(e *enclave) {
	ctx, cancel := context.WithCancel(p.ctx)
	e.stop = cancel
	for _, l := range e.links {
		p.wg.Go(func() { p.keep(ctx, l) })
	}
}

// Known is the number of enclaves.
func (p *Pool) Known() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.enclaves)
}

// Ready reports whether some enclave reports that it is ready, see wire.HealthReady.
func (p *Pool) Ready() bool { return p.Any(wire.HealthReady) }

// Any reports whether some enclave reports all bits of want.
func (p *Pool) Any(want wire.Health) bool {
	return slices.ContainsFunc(*p.links.Load(), func(l *link) bool {
		c := l.client.Load()
		return c != nil && !c.Draining() && l.health().Has(want)
	})
}

// Close drains all sessions and ends them, at the latest when ctx ends, whose error it then returns. The pool is
// unusable afterwards.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	drained := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	for _, l := range *p.links.Load() {
		if c := l.client.Load(); c != nil {
			_ = c.Close()
		}
	}
	<-drained
	return ctx.Err()
}
