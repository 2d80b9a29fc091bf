package keys

import "time"

// PurgeAll drops every key, domain, context and negative entry, and returns the number of keys and
// domains. The result of an unwrap in flight goes to the callers that wait for it, and is not cached.
func (c *Cache) PurgeAll() int { return c.purge(nil) + c.purgeDomains() }

// PurgeVault does the same for one vault. It looks at every key, which takes some microseconds for each thousand.
// Domains stay open, and the keys of all vaults under them go.
func (c *Cache) PurgeVault(vaultID []byte) int {
	vault := string(vaultID)
	c.purgeVaults()
	return c.purge(&vault)
}

// purge drops the entries of vault, or all entries if vault is nil.
func (c *Cache) purge(vault *string) (n int) {
	for i := range c.shards {
		removed := c.shards[i].purge(vault)
		n += len(removed)
		c.drop(removed...)
	}
	return n
}

func (s *shard) purge(vault *string) (removed []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.keys {
		if vault == nil || e.vaultID == *vault {
			s.remove(e)
			removed = append(removed, e)
		}
	}
	for id, cl := range s.calls {
		if vault == nil || string(cl.req.VaultID) == *vault {
			cl.noCache = true
			delete(s.calls, id) // a caller that asks from now on asks KMS again
		}
	}
	s.negatives.drop(func(n *negative) bool { return vault == nil || n.vault == *vault })
	return removed
}

// Close refuses further fetches, ends running unwraps, answers the waiters with shutting_down and drops everything.
// It returns once no unwrap runs and no field is being opened. Keys still held are destroyed when they are released,
// and open nothing any more. Close may be called more than once.
func (c *Cache) Close() { c.closing.Do(c.close) }

func (c *Cache) close() {
	c.closed.Store(true)
	for i := range c.shards { // a Fetch that had not seen closed has started its unwrap after this
		c.shards[i].mu.Lock()
		c.shards[i].mu.Unlock() //nolint:staticcheck // a barrier: the empty section is the point
	}
	c.domains.mu.Lock()
	c.domains.mu.Unlock() //nolint:staticcheck // likewise
	c.cancel()
	c.work.Wait()
	c.PurgeAll()
	c.scratch.close() // from here on nothing is opened
	c.shares.close()
	c.contexts.close()
	c.fields.close()
	c.ciphers.close()
	c.domains.keys.close()
}

// sweep drops expired keys and stale negative entries soon after their time. So an unused key too is gone from memory
// within a second of its TTL.
func (c *Cache) sweep() {
	defer c.work.Done()
	tick := time.NewTicker(max(50*time.Millisecond, min(time.Second, c.cfg.TTL/20)))
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			for i := range c.shards {
				c.sweepShard(&c.shards[i])
			}
			c.sweepDomains()
		}
	}
}

// sweepShard releases the lock between keys, so that a lookup never waits for more than one.
func (c *Cache) sweepShard(s *shard) {
	for {
		s.mu.Lock()
		now := c.now()
		e := s.expired(now)
		if e == nil {
			s.negatives.drop(func(n *negative) bool { return n.until <= now })
		}
		s.mu.Unlock()
		if e == nil {
			return
		}
		c.drop(e)
	}
}
