package keys

// Stats are counters since the start and gauges of now.
type Stats struct {
	KeyHits, KeyMisses, KeyEvictions, KeyExpirations, NegativeHits uint64
	ContextHits, ContextMisses, ContextEvictions, ContextRefused   uint64
	// FieldHits are opens that did not even need the context: the field's own key was kept.
	FieldHits, FieldEvictions               uint64
	Unwraps, UnwrapFailures, UnwrapsRefused uint64
	Refreshes, RefreshFailures              uint64
	// Derivations counts key agreements for contexts.
	Derivations                                         uint64
	Keys, Contexts, Fields, Negatives, Pending, Waiters int
	// KeyBytes and ContextBytes (fields included) estimate resident memory by KeyCost, ContextCost and FieldCost.
	// MaxBytes is the estimate for full caches.
	KeyBytes, ContextBytes, MaxBytes int64
}

// Stats returns a snapshot. It takes each shard's lock in turn, shared.
func (c *Cache) Stats() Stats {
	st := Stats{
		Unwraps: c.unwraps.Load(), UnwrapFailures: c.unwrapFailures.Load(), UnwrapsRefused: c.unwrapsRefused.Load(),
		Refreshes: c.refreshes.Load(), RefreshFailures: c.refreshFailures.Load(),
		Derivations: c.derivations.Load(),
		Keys:        int(c.keys.Load()), Contexts: int(c.contexts.count.Load()), Fields: int(c.fields.count.Load()),
		Pending: int(c.pending.Load()), Waiters: int(c.waiters.Load()), MaxBytes: c.cfg.Cost(),
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		st.Negatives += len(s.negatives.byID)
		s.mu.RUnlock()
		st.KeyHits += s.hits.Load()
		st.KeyMisses += s.misses.Load()
		st.KeyEvictions += s.evictions.Load()
		st.KeyExpirations += s.expirations.Load()
		st.NegativeHits += s.negativeHits.Load()
	}
	for i := range c.contexts.shards {
		s := &c.contexts.shards[i]
		st.ContextHits += s.hits.Load()
		st.ContextMisses += s.misses.Load()
		st.ContextEvictions += s.evictions.Load()
		st.ContextRefused += s.refused.Load()
	}
	for i := range c.fields.shards {
		s := &c.fields.shards[i]
		st.FieldHits += s.hits.Load()
		st.FieldEvictions += s.evictions.Load()
	}
	st.KeyBytes = int64(st.Keys) * KeyCost
	st.ContextBytes = int64(st.Contexts)*ContextCost + int64(st.Fields)*FieldCost
	return st
}
