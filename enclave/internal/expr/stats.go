package expr

// Stats are counters since the evaluator was made, and gauges of now.
type Stats struct {
	// Hits counts requests whose plan was cached, Misses those for which one was built.
	Hits, Misses uint64
	// Plans and Programs count what is cached now.
	Plans, Programs int
}

// Stats returns a snapshot.
func (e *Evaluator) Stats() Stats {
	return Stats{Hits: e.hits.Load(), Misses: e.misses.Load(), Plans: e.plans.len(), Programs: e.programs.len()}
}

// len returns the number of entries.
func (c *cache[V]) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}
