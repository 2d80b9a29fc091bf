package keys

import (
	"context"
	"errors"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// Waiter is told the outcome of a [Cache.Fetch]. KeyReady is called exactly once unless the wait was cancelled first.
// If err is nil, the callee owns the Key and MUST release it; otherwise err is a *wire.Error. KeyReady runs on the
// goroutine of the unwrap (or of Fetch itself, when the answer is known) and MUST NOT block.
type Waiter interface {
	KeyReady(k Key, err error)
}

// Wait is one caller's place in the queue for a key. It is nil if the answer has been given.
type Wait struct {
	waiter Waiter
	by     Credentials
	shard  *shard
	call   *call // nil once answered or cancelled; guarded by shard.mu
	at     int   // index in call.waits
	cache  *Cache
}

// call is one unwrap and the callers that wait for it. No caller owns it: it goes on when all of them have left.
type call struct {
	id      identity
	req     Request // a copy
	waits   []*Wait
	entry   *entry // the entry that is refreshed, nil when the key is new
	noCache bool   // a purge came meanwhile: answer the waiters, keep nothing
	by      uint64 // the credentials that KMS was asked with; 0: none, or they changed meanwhile
}

// Fetch gets a key, from the cache or by an unwrap that all callers of the same key share, and tells w. It does not
// block. Only w is told of errors.
func (c *Cache) Fetch(r *Request, w Waiter) *Wait {
	if r.Domain != nil {
		w.KeyReady(c.Vault(r))
		return nil
	}
	id := c.identify(r)
	s := c.shard(&id)
	s.mu.Lock()
	wait, k, err := c.join(s, id, r, w)
	s.mu.Unlock()
	if wait == nil {
		w.KeyReady(k, err)
	}
	return wait
}

// join returns a wait, or the answer if it is known. The shard is locked.
func (c *Cache) join(s *shard, id identity, r *Request, w Waiter) (*Wait, Key, error) {
	if c.closed.Load() {
		return nil, Key{}, errShuttingDown
	}
	now := c.now()
	if e := s.keys[id]; e != nil && e.expires.Load() > now {
		e.refs.Add(1)
		return nil, Key{e, c}, nil
	}
	if err, ok := s.negatives.get(id, number(r.By), now); ok {
		s.negativeHits.Add(1)
		return nil, Key{}, &wire.Error{Code: err.Code, RetryAfterMS: err.RetryAfterMS}
	}
	if c.waiters.Add(1) > int64(c.cfg.MaxWaiters) {
		return nil, Key{}, c.refuse()
	}
	cl := s.calls[id]
	if cl == nil {
		cl = c.begin(s, id, r, nil)
	}
	if cl == nil || len(cl.waits) >= max(1, c.cfg.MaxWaiters/4) {
		return nil, Key{}, c.refuse()
	}
	wait := &Wait{waiter: w, by: r.By, shard: s, cache: c}
	cl.add(wait)
	return wait, Key{}, nil
}

// add gives w a place. The shard is locked.
func (cl *call) add(w *Wait) {
	w.call, w.at = cl, len(cl.waits)
	cl.waits = append(cl.waits, w)
}

// refuse takes back the count of a waiter that finds no place.
func (c *Cache) refuse() error {
	c.waiters.Add(-1)
	return c.full()
}

// full is the failure of a waiter that finds no place.
func (c *Cache) full() error {
	if c.closed.Load() {
		return errShuttingDown
	}
	c.unwrapsRefused.Add(1)
	return errOverloaded
}

// begin starts an unwrap. It returns nil if too many are pending. The shard is locked.
func (c *Cache) begin(s *shard, id identity, r *Request, e *entry) *call {
	if c.closed.Load() {
		return nil
	}
	if c.pending.Add(1) > int64(c.cfg.MaxPending) {
		c.pending.Add(-1)
		return nil
	}
	cl := &call{id: id, req: r.clone(), entry: e}
	s.calls[id] = cl
	c.work.Add(1)
	go c.run(s, cl)
	return cl
}

// Cancel gives the place up. True: KeyReady has not been called and will not be. False: it has been, or is about to
// be. The unwrap goes on for the others, and for the cache.
func (w *Wait) Cancel() bool {
	if w == nil {
		return false
	}
	w.shard.mu.Lock()
	defer w.shard.mu.Unlock()
	if w.call == nil {
		return false
	}
	waits := w.call.waits
	last := len(waits) - 1
	waits[w.at] = waits[last]
	waits[w.at].at = w.at
	waits[last] = nil
	w.call.waits = waits[:last]
	w.call = nil
	w.cache.waiters.Add(-1)
	return true
}

// Get is Fetch for callers that may block. If ctx ends first, Get returns ctx's error, and the unwrap goes on.
func (c *Cache) Get(ctx context.Context, r *Request) (Key, error) {
	if k, ok := c.Lookup(r); ok { //nolint:contextcheck // a refresh outlives the request that hit the key
		return k, nil
	}
	answer := make(answerChan, 1)
	wait := c.Fetch(r, answer) //nolint:contextcheck // an unwrap outlives the caller that began it
	select {
	case a := <-answer:
		return a.key, a.err
	case <-ctx.Done():
		if wait.Cancel() {
			return Key{}, ctx.Err()
		}
		a := <-answer
		return a.key, a.err
	}
}

type answerChan chan struct {
	key Key
	err error
}

func (a answerChan) KeyReady(k Key, err error) {
	a <- struct {
		key Key
		err error
	}{k, err}
}

// run is the life of a call.
func (c *Cache) run(s *shard, cl *call) {
	defer c.work.Done()
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.UnwrapTimeout)
	defer cancel()
	var key *sealed.PrivateKey
	allowed := c.now()
	err := c.enter(ctx, s, cl)
	if err == nil {
		allowed = c.now() // the TTL counts from here: KMS may have decided at any time after
		by := number(cl.req.By)
		key, err = c.unwrapKey(ctx, &cl.req)
		<-c.running
		if number(cl.req.By) == by {
			cl.by = by
		}
	}
	c.finish(s, cl, key, allowed, err)
}

var errAbandoned = errors.New("nobody waits any more")

// enter waits for a place among the running unwraps. A call that had to queue is given up if all its callers have
// left. If its time runs out in the queue, our load is the cause: neither KMS, which was not asked, nor the key is to
// blame.
func (c *Cache) enter(ctx context.Context, s *shard, cl *call) error {
	select {
	case c.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.running <- struct{}{}:
	case <-ctx.Done():
		return c.late()
	}
	if c.closed.Load() || ctx.Err() != nil { // both were ready, or Close has not come to this context yet
		<-c.running
		return c.late()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(cl.waits) == 0 && cl.entry == nil {
		<-c.running
		if s.calls[cl.id] == cl {
			delete(s.calls, cl.id) // no caller may join from here on
		}
		return errAbandoned
	}
	return nil
}

// late is the failure of a call that waited until its context or the cache ended.
func (c *Cache) late() error {
	if c.closed.Load() || c.ctx.Err() != nil {
		return errShuttingDown
	}
	return errOverloaded
}

// unwrapKey asks KMS and parses the answer. A panic below becomes an error, since the waiters must be answered.
func (c *Cache) unwrapKey(ctx context.Context, r *Request) (key *sealed.PrivateKey, err error) {
	defer func() {
		if recover() != nil {
			key, err = nil, errInternal
		}
	}()
	c.unwraps.Add(1)
	der, err := c.unwrap.Unwrap(ctx, *r)
	if err != nil {
		return nil, err
	}
	defer der.Destroy()
	if c.ctx.Err() != nil {
		return nil, errShuttingDown
	}
	err = errInternal // stays when Compute does not run the task
	c.compute(func() { key, err = sealed.ParsePrivateKey(r.Suite, der.Bytes()) })
	if errors.Is(err, sealed.ErrKey) {
		return nil, errMalformedKey
	}
	return key, err
}

func (c *Cache) compute(task func()) {
	if c.cfg.Compute != nil {
		c.cfg.Compute(task)
		return
	}
	c.computing <- struct{}{}
	defer func() { <-c.computing }()
	task()
}
