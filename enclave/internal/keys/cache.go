package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// Cache is the key cache and the context cache. Its methods may be called from any goroutine.
type Cache struct {
	cfg      Config
	unwrap   Unwrapper
	ctx      context.Context
	cancel   context.CancelFunc
	start    time.Time
	seed     [32]byte
	lastID   atomic.Uint64
	shards   []shard
	contexts contexts
	fields   contexts // keys of fields of encoding 3
	ciphers  contexts // AES-GCM set up, for fields that are read again and again
	scratch  *scratch
	shares   shares
	domains  domains

	running   chan struct{} // one place for each unwrap that may run
	computing chan struct{}
	work      sync.WaitGroup
	closed    atomic.Bool
	closing   sync.Once
	pending   atomic.Int64
	waiters   atomic.Int64
	keys      atomic.Int64
	keyAlarm  alarm

	unwraps, unwrapFailures, unwrapsRefused, refreshes, refreshFailures, derivations atomic.Uint64
}

// New makes a cache that unwraps with u. Each unwrap's context derives from ctx. When ctx ends, running unwraps end,
// and no new ones can be had. Close MUST be called. Errors: [ErrConfig], [ErrBudget], or those of secret memory.
func New(ctx context.Context, cfg Config, u Unwrapper) (*Cache, error) {
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	c := &Cache{
		cfg: cfg, unwrap: u, start: time.Now(),
		running:   make(chan struct{}, cfg.MaxUnwraps),
		computing: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	if _, err := rand.Read(c.seed[:]); err != nil {
		return nil, fmt.Errorf("seed the key cache: %w", err)
	}
	if err := c.contexts.init(sealed.ContextSize, cfg.MaxContexts, cfg.Pressure); err != nil {
		return nil, err
	}
	if err := c.fields.init(sealed.FieldSize, cfg.fields(), nil); err != nil {
		return nil, err
	}
	if err := c.ciphers.init(sealed.CipherSize, cfg.ciphers(), nil); err != nil {
		return nil, err
	}
	if err := c.shares.init(); err != nil {
		return nil, err
	}
	if err := c.domains.init(cfg.Domains); err != nil {
		return nil, err
	}
	var err error
	if c.scratch, err = newScratch(); err != nil {
		return nil, err
	}
	c.keyAlarm = alarm{bound: cfg.MaxKeys, tell: cfg.Pressure}
	c.shards = make([]shard, shardCount(cfg.MaxKeys, maxKeyShards))
	for i := range c.shards {
		c.shards[i].init(shareOf(cfg.MaxKeys, len(c.shards), i))
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.work.Add(1)
	go c.sweep()
	return c, nil
}

// shardCount is a power of two, at most limit, that leaves each shard a share of 16 or more (one shard otherwise).
func shardCount(n, limit int) int {
	for limit > 1 && n/limit < 16 {
		limit /= 2
	}
	return limit
}

// shareOf splits n into parts that add up to n.
func shareOf(n, parts, i int) int {
	share := n / parts
	if i < n%parts {
		share++
	}
	return share
}

// now is monotonic, in nanoseconds since the cache was made: setting the wall clock neither ends nor prolongs a key.
func (c *Cache) now() int64 { return int64(time.Since(c.start)) }

func (c *Cache) shard(id *identity) *shard { return &c.shards[int(id[0])&(len(c.shards)-1)] }

// Lookup returns the key if it is cached and has not expired. It does not block. It does not allocate either, except
// that the first hit of a key near its end starts a refresh in the background.
func (c *Cache) Lookup(r *Request) (Key, bool) {
	if r.Domain != nil {
		return Key{}, false // Vault and Fetch answer at once
	}
	id := c.identify(r)
	s := c.shard(&id)
	now := c.now()
	s.mu.RLock()
	e := s.keys[id]
	if e == nil || e.expires.Load() <= now {
		s.mu.RUnlock()
		s.misses.Add(1)
		return Key{}, false
	}
	e.refs.Add(1)
	s.mu.RUnlock()
	s.hits.Add(1)
	if !e.visited.Load() {
		e.visited.Store(true)
	}
	if now >= e.refreshAt.Load() && e.refreshing.CompareAndSwap(false, true) {
		c.refresh(s, e, r, now)
	}
	return Key{e, c}, true
}

// refreshTime is the time from which a hit refreshes a key that is valid since now: after 65 to 85 % of its life. The
// random part keeps keys that came together from all returning to KMS together.
func (c *Cache) refreshTime(now int64) int64 {
	ttl := int64(c.cfg.TTL)
	return now + ttl*65/100 + mathrand.Int64N(ttl/5) //nolint:gosec // jitter is no secret
}

// refresh starts an unwrap for a key that is still good, with the credentials of the request that hit it. That
// request does not wait. If it has no credentials, or KMS refused them for this key, the refresh is left to the next
// hit.
func (c *Cache) refresh(s *shard, e *entry, r *Request, now int64) {
	by := number(r.By)
	if r.By != nil && by == 0 || by != 0 && by == e.refusedBy.Load() && now < e.refusedUntil.Load() {
		e.refreshing.Store(false)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[e.hash] != nil || e.dead.Load() {
		e.refreshing.Store(false)
		return
	}
	if c.begin(s, e.hash, r, e) == nil {
		c.postpone(e, now)
		return
	}
	c.refreshes.Add(1)
}

// postpone sets the earliest time for the next refresh of e: a twentieth of the TTL later, give or take a half.
func (c *Cache) postpone(e *entry, now int64) {
	step := int64(c.cfg.TTL) / 20
	e.refreshAt.Store(now + step/2 + mathrand.Int64N(step)) //nolint:gosec // jitter is no secret
	e.refreshing.Store(false)
}

// spare postpones refreshes of e, as postpone does, but only for the credentials with which one failed. Other
// credentials may try much sooner.
func (c *Cache) spare(e *entry, by uint64, now int64) {
	step := int64(c.cfg.TTL) / 20
	e.refusedUntil.Store(now + step/2 + mathrand.Int64N(step)) //nolint:gosec // jitter is no secret
	e.refusedBy.Store(by)
	e.refreshAt.Store(now + step/16)
	e.refreshing.Store(false)
}

// drop gives up the cache's hold on entries that were removed from a shard. Their contexts are wiped now, and their
// keys when the last user is done. Call it without a lock.
func (c *Cache) drop(removed ...*entry) {
	for _, e := range removed {
		if e == nil {
			continue
		}
		c.keyAlarm.set(int(c.keys.Add(-1)))
		if e.contexts.Load() {
			c.contexts.purge(e.id)
			c.fields.purge(e.id)
			c.ciphers.purge(e.id)
		}
		e.release()
	}
}

// alarm reports once that a cache is nearly full.
type alarm struct {
	bound int
	tell  func(Pressure)
	kind  Pressure
	on    atomic.Bool
}

func (a *alarm) set(used int) {
	switch {
	case a.tell == nil:
	case used*10 >= a.bound*9:
		if a.on.CompareAndSwap(false, true) {
			p := a.kind
			p.Used, p.Bound = used, a.bound
			a.tell(p)
		}
	case used*10 < a.bound*8 && a.on.Load():
		a.on.Store(false)
	}
}

var (
	errOverloaded   = &wire.Error{Code: wire.Overloaded}
	errShuttingDown = &wire.Error{Code: wire.ShuttingDown}
	errInternal     = &wire.Error{Code: wire.Internal}
	errMalformedKey = &wire.Error{Code: wire.DecryptFailed}
	errUnavailable  = &wire.Error{Code: wire.KMSUnavailable}
)
