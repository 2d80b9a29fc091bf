package keys

import (
	"context"
	"errors"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// finish publishes the outcome of a call: first into the cache, then to the waiters. allowed is when KMS was asked.
// If the credentials failed, waiters with other credentials go on waiting, for a call with theirs.
func (c *Cache) finish(s *shard, cl *call, key *sealed.PrivateKey, allowed int64, err error) {
	var failure *wire.Error
	if err != nil {
		failure = c.failure(err)
		if !errors.Is(err, errAbandoned) {
			c.unwrapFailures.Add(1)
		}
	}
	s.mu.Lock()
	if s.calls[cl.id] == cl {
		delete(s.calls, cl.id)
	}
	c.pending.Add(-1)
	waits, others := cl.waits, []*Wait(nil)
	cl.waits = nil
	if failure != nil && ofCredentials(err) {
		waits, others = cl.split(waits)
	}
	for _, w := range waits {
		w.call = nil
	}
	c.waiters.Add(int64(-len(waits)))
	var e, victim *entry
	if failure == nil {
		e, victim = c.keep(s, cl, key, allowed, int32(len(waits)))
	} else {
		victim = c.lose(s, cl, failure, err)
	}
	refused := c.again(s, cl, others)
	s.mu.Unlock()
	c.drop(victim)
	for _, w := range waits {
		if failure != nil {
			w.waiter.KeyReady(Key{}, &wire.Error{Code: failure.Code, RetryAfterMS: failure.RetryAfterMS})
		} else {
			w.waiter.KeyReady(Key{e, c}, nil)
		}
	}
	for _, w := range refused {
		w.waiter.KeyReady(Key{}, c.full())
	}
}

// split separates the waiters that a failure of the call's credentials concerns from those that have other
// credentials. The waiter whose credentials were used is always among the first, so each call that follows leaves
// fewer.
func (cl *call) split(waits []*Wait) (same, others []*Wait) {
	for _, w := range waits {
		if w.by == cl.req.By || number(w.by) == cl.by {
			same = append(same, w)
		} else {
			others = append(others, w)
		}
	}
	return same, others
}

// again lets the waiters that have no answer yet wait for a call that runs already, or for a new one with the
// credentials of the first of them. It returns those for which there is no place any more. The shard is locked.
func (c *Cache) again(s *shard, cl *call, waits []*Wait) (refused []*Wait) {
	if len(waits) == 0 {
		return nil
	}
	next := s.calls[cl.id]
	if next == nil {
		r := cl.req
		r.By = waits[0].by
		next = c.begin(s, cl.id, &r, nil)
	}
	if next == nil {
		for _, w := range waits {
			w.call = nil
		}
		c.waiters.Add(int64(-len(waits)))
		return waits
	}
	for _, w := range waits {
		next.add(w)
	}
	return nil
}

// keep puts a key that KMS allowed into the cache and takes refs references for the waiters. If there is an entry
// already, it renews that entry instead. It returns the entry for the waiters, and an evicted one. The shard is
// locked.
func (c *Cache) keep(s *shard, cl *call, key *sealed.PrivateKey, allowed int64, refs int32) (e, victim *entry) {
	cached := !cl.noCache && !c.closed.Load()
	if old := s.keys[cl.id]; cached && old != nil {
		key.Destroy()
		s.renew(old, allowed+int64(c.cfg.TTL), c.refreshTime(allowed))
		old.allowedBy = cl.by
		old.refreshing.Store(false)
		old.refs.Add(refs)
		return old, nil
	}
	if !cached && refs == 0 {
		key.Destroy()
		return nil, nil
	}
	e = &entry{id: c.lastID.Add(1), key: key, vaultID: string(cl.req.VaultID), hash: cl.id, allowedBy: cl.by}
	e.expires.Store(allowed + int64(c.cfg.TTL))
	e.refreshAt.Store(c.refreshTime(allowed))
	if !cached {
		e.dead.Store(true)
		e.refs.Store(refs)
		return e, nil
	}
	e.refs.Store(refs + 1)
	victim = s.insert(e)
	s.negatives.remove(failedKey{cl.id, 0})
	s.negatives.remove(failedKey{cl.id, cl.by})
	c.keyAlarm.set(int(c.keys.Add(1)))
	return e, victim
}

// lose handles a failed unwrap. A key that KMS denies is evicted at once. After any other failure a cached key stays
// until its TTL ends. A failure that is our own fault is not remembered. A failure that other credentials might not
// meet counts for the failed credentials alone: it evicts a key only if KMS allowed the key to them before. The shard
// is locked.
func (c *Cache) lose(s *shard, cl *call, failure *wire.Error, err error) (victim *entry) {
	now := c.now()
	personal := ofCredentials(err)
	whose := cl.by != 0 || cl.req.By == nil // whether it is known whose credentials failed
	if old := s.keys[cl.id]; old != nil {
		switch {
		case failure.Code == wire.KeyDenied && (!personal || whose && cl.by == old.allowedBy):
			s.remove(old)
			victim = old
		case personal && cl.by != 0:
			c.spare(old, cl.by, now)
		default:
			c.postpone(old, now)
		}
	}
	if cl.entry != nil {
		c.refreshFailures.Add(1)
	}
	by := uint64(0)
	if personal {
		by = cl.by
	}
	if life := rememberFor(failure); life > 0 && (whose || !personal) && !ownFault(err) && !cl.noCache &&
		!c.closed.Load() && s.keys[cl.id] == nil {
		s.negatives.add(negative{
			key: failedKey{cl.id, by}, vault: string(cl.req.VaultID), until: now + int64(life), err: *failure,
		})
	}
	return victim
}

// ofCredentials reports whether the unwrapper says of its error that other credentials might not meet it.
func ofCredentials(err error) bool {
	var of interface{ OfCredentials() bool }
	return errors.As(err, &of) && of.OfCredentials()
}

// ownFault reports whether the unwrapper says of its error that the key has no part in it. An example is credentials
// that ended: they have the code of a KMS that is unavailable, but the failure must not outlive their renewal.
func ownFault(err error) bool {
	var own interface{ OwnFault() bool }
	return errors.As(err, &own) && own.OwnFault()
}

// rememberFor says how long a failure is remembered against its key. Failures of our own load and of time are not
// remembered.
func rememberFor(failure *wire.Error) time.Duration {
	switch failure.Code {
	case wire.KeyDenied:
		return rememberDenied
	case wire.DecryptFailed:
		return rememberMalformed
	case wire.KMSThrottled:
		return max(rememberThrottled, min(time.Duration(failure.RetryAfterMS)*time.Millisecond, 2*time.Second))
	case wire.KMSUnavailable:
		return rememberUnavailable
	}
	return 0
}

// failure turns the error of a call into one for the wire.
func (c *Cache) failure(err error) *wire.Error {
	var coded *wire.Error
	switch {
	case c.closed.Load():
		return errShuttingDown
	case errors.As(err, &coded) && coded.Code != wire.OK:
		return coded
	case errors.Is(err, context.DeadlineExceeded):
		return errUnavailable
	case errors.Is(err, context.Canceled):
		return errShuttingDown
	case errors.Is(err, errAbandoned):
		return errOverloaded
	}
	return errInternal
}
