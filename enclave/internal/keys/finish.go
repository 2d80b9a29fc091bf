package keys

import (
	"context"
	"errors"
	"time"

	"redoubt/wire"
	"redoubt/wire/sealed"
)

// finish publishes the outcome of a call: into the cache, then to those who wait. allowed is when KMS was asked.
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
	waits := cl.waits
	cl.waits = nil
	for _, w := range waits {
		w.call = nil
	}
	c.waiters.Add(int64(-len(waits)))
	var e, victim *entry
	if failure == nil {
		e, victim = c.keep(s, cl, key, allowed, int32(len(waits)))
	} else {
		victim = c.lose(s, cl, failure, ownFault(err))
	}
	s.mu.Unlock()
	c.drop(victim)
	for _, w := range waits {
		if failure != nil {
			w.waiter.KeyReady(Key{}, &wire.Error{Code: failure.Code, RetryAfterMS: failure.RetryAfterMS})
		} else {
			w.waiter.KeyReady(Key{e, c}, nil)
		}
	}
}

// keep puts a key that KMS allowed into the cache and takes refs references for those who wait. An entry that is
// there already gets another life instead. It returns the entry for the waiters and an evicted one. The shard is
// locked.
func (c *Cache) keep(s *shard, cl *call, key *sealed.PrivateKey, allowed int64, refs int32) (e, victim *entry) {
	cached := !cl.noCache && !c.closed.Load()
	if old := s.keys[cl.id]; cached && old != nil {
		key.Destroy()
		s.renew(old, allowed+int64(c.cfg.TTL), c.refreshTime(allowed))
		old.refreshing.Store(false)
		old.refs.Add(refs)
		return old, nil
	}
	if !cached && refs == 0 {
		key.Destroy()
		return nil, nil
	}
	e = &entry{id: c.lastID.Add(1), key: key, vaultID: string(cl.req.VaultID), hash: cl.id}
	e.expires.Store(allowed + int64(c.cfg.TTL))
	e.refreshAt.Store(c.refreshTime(allowed))
	if !cached {
		e.dead.Store(true)
		e.refs.Store(refs)
		return e, nil
	}
	e.refs.Store(refs + 1)
	victim = s.insert(e)
	s.negatives.remove(cl.id)
	c.keyAlarm.set(int(c.keys.Add(1)))
	return e, victim
}

// lose handles a failed unwrap. A key that KMS denies is evicted at once; any other failure leaves a cached key
// alone until its TTL ends. One that is our own fault is not remembered. The shard is locked.
func (c *Cache) lose(s *shard, cl *call, failure *wire.Error, own bool) (victim *entry) {
	now := c.now()
	if old := s.keys[cl.id]; old != nil {
		if failure.Code == wire.KeyDenied {
			s.remove(old)
			victim = old
		} else {
			c.postpone(old, now)
		}
	}
	if cl.entry != nil {
		c.refreshFailures.Add(1)
	}
	if life := rememberFor(failure); life > 0 && !own && !cl.noCache && !c.closed.Load() && (s.keys[cl.id] == nil) {
		s.negatives.add(negative{id: cl.id, vault: string(cl.req.VaultID), until: now + int64(life), err: *failure})
	}
	return victim
}

// ownFault tells whether the unwrapper says of its error that the key has no part in it: credentials that ended,
// say, which have the code of a KMS that is away but must not outlive their renewal.
func ownFault(err error) bool {
	var own interface{ OwnFault() bool }
	return errors.As(err, &own) && own.OwnFault()
}

// rememberFor says how long a failure is remembered against its key. Failures of our own load and of time are not.
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
