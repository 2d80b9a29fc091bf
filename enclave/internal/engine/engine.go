package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

const (
	// DefaultDeadline is the time that a request gets if it states none.
	DefaultDeadline = 30 * time.Second

	// inlineExpressions bounds the average time of evaluating the expressions of a shape on a lane's reader. It is a
	// few times what it takes to hand them to a worker.
	inlineExpressions = 50 * time.Microsecond

	// inlineUnits bounds the cost of a request's expressions on a lane's reader, whatever times were learnt for their
	// shape. That many units take at most some 100 µs (see package expr), as a rule a tenth of that. Costlier
	// expressions go to a worker.
	inlineUnits = 500

	// compileAtOnce bounds the sources, in bytes, that are compiled as part of opening fields: some 1 ms. Longer
	// sources become units of their own, so that the queue accounts for them and other requests' work goes in
	// between.
	compileAtOnce = 1 << 10

	// sliceUnits is the cost after which an evaluation lets other requests' work go first, at the end of an
	// expression.
	sliceUnits = 10_000

	// tooSlow is the time that is recorded for a shape that exceeded inlineUnits. Some evaluations then go by on
	// workers before the reader tries that shape again.
	tooSlow = 8 * inlineExpressions

	// inlineBytes bounds the sealed bytes that a reader opens for one request: some 50 µs. Workers open the rest.
	inlineBytes = 64 << 10

	// retryOverloaded is the least time after which a refused caller should try again.
	retryOverloaded = 100 * time.Millisecond
)

// Kinds of work, for the estimates of package workers.
const (
	// KindParse is the parsing of a private key; give it to [workers.Pool.Do].
	KindParse workers.Kind = iota
	// kindEvaluate is a request without public-key work, or a slice of an evaluation that takes long.
	kindEvaluate
	// kindCompile is the compiling of one expression.
	kindCompile
	// kindOpen + suite is one key agreement; suites count from 1.
	kindOpen
	// kindSeal + suite is a key agreement together with its share of a sealed reply.
	kindSeal = kindOpen + workers.Kind(sealed.MaxSuite)
	// kindMint + suite is one new key of a vault.
	kindMint = kindSeal + workers.Kind(sealed.MaxSuite)
	// kindReseal + suite is one new key and the sealing of a vault's fields to it.
	kindReseal = kindMint + workers.Kind(sealed.MaxSuite)
	// lastKind makes the compiler fail below if package workers has no room for it.
	lastKind = kindReseal + workers.Kind(sealed.MaxSuite)
)

// agreements are first estimates of one key agreement.
var agreements = [sealed.MaxSuite + 1]time.Duration{
	sealed.P256: 60 * time.Microsecond, sealed.P384: 450 * time.Microsecond, sealed.P521: 1300 * time.Microsecond,
	sealed.XWing: 80 * time.Microsecond, // expansion and decapsulation
}

// Costs are the first estimates of the kinds. Measured times replace them.
func Costs() (c [workers.Kinds]time.Duration) {
	c[lastKind] = 0
	c[KindParse] = 150 * time.Microsecond
	for _, s := range sealed.DomainSuites() {
		c[openKind(s, false)] = agreements[s]
		c[openKind(s, true)] = 2 * agreements[s]
		c[kindMint+workers.Kind(s)] = 2 * agreements[s]
		c[kindReseal+workers.Kind(s)] = 4 * agreements[s]
	}
	c[kindEvaluate] = 50 * time.Microsecond
	c[kindCompile] = 500 * time.Microsecond
	return c
}

// Config is what an engine needs. Everything but the limits is required.
type Config struct {
	// Keys is the cache of keys and contexts, Expressions the evaluator, Workers the pool.
	Keys        *keys.Cache
	Expressions *expr.Evaluator
	Workers     *workers.Pool
	// KeyARNs maps a region to the only key that may be used there.
	KeyARNs map[string]string
	// DenyContextless refuses requests without an encryption context.
	DenyContextless bool
	// MaxWaiting bounds the requests that wait for a key or a worker. MaxWaitingBytes bounds the memory that they
	// hold: the capacity of their buffers, not the length of their bodies.
	MaxWaiting      int
	MaxWaitingBytes int64
	// DomainsOnly refuses requests without a domain.
	DomainsOnly bool
	// Digest is that of the measured configuration. Attest makes an attestation document. Without Attest no domain is
	// created.
	Digest [32]byte
	Attest func(ctx context.Context, userData, nonce []byte) ([]byte, error)
	// Panicked is called when a panic was recovered. It must not block.
	Panicked func()
}

// Engine answers requests.
type Engine struct {
	cfg   Config
	start time.Time
	stats Stats
	costs costs
	jobs  sync.Pool
	begun begun

	creating atomic.Int32 // requests that make a domain or a wrap
	inFlight atomic.Int64
	waiting  atomic.Int64
	bytes    atomic.Int64
	draining atomic.Bool
	aborted  atomic.Bool
	idle     chan struct{} // gets a value when the last request ends while draining
}

// New makes an engine. It does not own the parts in cfg.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, start: time.Now(), idle: make(chan struct{}, 1)}
	e.jobs.New = func() any { return &job{e: e} }
	return e
}

// Origin is the session that requests came from. End it when the session ends: its requests are then dropped where
// they wait.
type Origin struct {
	// Credentials are the session's own. KMS is asked with them for the session's requests. Set them before the first
	// request.
	Credentials keys.Credentials

	gone atomic.Bool
}

// End says that nobody waits for the answers any more.
func (o *Origin) End() { o.gone.Store(true) }

// Request takes one request. It runs on the lane's reader and does not block. It makes sure that r.Responder is used
// exactly once, by some goroutine, now or later. See [session.Handler].
func (e *Engine) Request(r *session.Request, from *Origin) {
	e.inFlight.Add(1)
	e.stats.Count(wire.StatRequests)
	j, ok := e.jobs.Get().(*job)
	if !ok {
		j = &job{e: e}
	}
	j.begin(r, from)
	defer j.guard()
	switch {
	case e.draining.Load():
		j.fail(wire.ShuttingDown, retryOverloaded)
		j.release()
	case r.Kind == wire.KindDecrypt:
		j.run(r)
	default:
		j.write(r)
	}
}

// Stats returns the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// InFlight returns the number of requests that have not been answered, and how many of these wait for a key or a
// worker.
func (e *Engine) InFlight() (all, waiting int) {
	return int(max(0, e.inFlight.Load())), int(max(0, e.waiting.Load()))
}

// Drain answers new requests shutting_down and waits until those in flight are answered. If ctx ends first, Drain
// returns ctx's error at once. Requests that no worker has begun are then answered shutting_down when a worker gets
// to them. Requests that wait for a key are answered so when the key cache is closed.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)
	for e.inFlight.Load() > 0 {
		select {
		case <-e.idle:
		case <-ctx.Done():
			e.aborted.Store(true)
			return ctx.Err()
		}
	}
	return nil
}

// Draining says whether new requests are refused.
func (e *Engine) Draining() bool { return e.draining.Load() }

// ended takes a request off the count of those in flight.
func (e *Engine) ended() {
	if e.inFlight.Add(-1) == 0 && e.draining.Load() {
		select {
		case e.idle <- struct{}{}:
		default:
		}
	}
}

// admit counts a request of n bytes among those that wait. It returns false if there are too many.
func (e *Engine) admit(n int64) bool {
	waiting, held := e.waiting.Add(1), e.bytes.Add(n)
	return waiting <= int64(e.cfg.MaxWaiting) && held <= e.cfg.MaxWaitingBytes
}

// leave takes a request that was given to admit off that count again.
func (e *Engine) leave(n int64) {
	e.waiting.Add(-1)
	e.bytes.Add(-n)
}

// panicked counts a recovered panic and reports it to Config.Panicked.
func (e *Engine) panicked() {
	e.stats.Count(wire.StatPanics)
	if e.cfg.Panicked != nil {
		e.cfg.Panicked()
	}
}

func (e *Engine) now() int64 { return int64(time.Since(e.start)) }

func openKind(s sealed.Suite, reply bool) workers.Kind {
	if reply {
		return kindSeal + workers.Kind(s)
	}
	return kindOpen + workers.Kind(s)
}
