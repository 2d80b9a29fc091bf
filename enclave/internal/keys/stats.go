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
	// DomainOpens are asked of KMS, refreshes included. DomainRefusals were refused from memory. DomainUnknown are
	// requests for a domain that was not open. VaultsOpened were unwrapped under a domain. OverBudget were refused by a
	// domain's budget.
	DomainOpens, DomainOpenFailures, DomainRefusals, DomainUnknown, VaultsOpened, OverBudget uint64
	// Domains are open, VaultKeys kept under them.
	Domains, VaultKeys int
	// KeyBytes and ContextBytes (fields and ciphers included) estimate resident memory by KeyCost, ContextCost, FieldCost
	// and CipherCost. MaxBytes is the estimate for full caches.
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
	c.domainStats(&st)
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
	st.ContextBytes = int64(st.Contexts)*ContextCost + int64(st.Fields)*FieldCost + c.ciphers.count.Load()*CipherCost
	return st
}

func (c *Cache) domainStats(st *Stats) {
	d := &c.domains
	st.DomainOpens, st.DomainOpenFailures, st.DomainRefusals = d.opens.Load(), d.openFailures.Load(), d.refusalHits.Load()
	st.DomainUnknown, st.VaultsOpened, st.OverBudget = d.unknown.Load(), d.opened.Load(), d.overBudget.Load()
	d.mu.RLock()
	st.Domains = len(d.byName)
	d.mu.RUnlock()
	st.VaultKeys = int(d.keys.count.Load())
}
