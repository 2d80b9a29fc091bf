package enclaved

import (
	"errors"
	"fmt"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/enclave/internal/server"
	"redoubt/wire"
	"redoubt/wire/session"
)

const (
	// maxLanes is how many lanes a session may open: twice as many as a parent opens.
	maxLanes = 4
	// expressionCache bounds the compiled programs, and likewise the plans of requests, in bytes: some hundred
	// expressions.
	expressionCache = 4 << 20
	// unwrapCost is the cost of a key that is waited for: a copy of the request, and the goroutine's stack.
	// connectionCost is the cost of a connection to KMS, with its TLS and its goroutines.
	unwrapCost     = 16 << 10
	connectionCost = 64 << 10
	// restCost is the cost of the program itself: twice what it holds when idle.
	restCost = 6 << 20
)

// errMemory reports that the bounds of the configuration do not fit into its memory.
var errMemory = errors.New("memory")

// sessionConfig is the template of each session's configuration.
func sessionConfig(cfg *config.Config, h wire.Hello, idle func() bool) session.ServerConfig {
	h.MaxLanes = maxLanes
	budget := session.NewBudget(int64(cfg.Sessions.MemoryMiB) << 20)
	return session.ServerConfig{Config: session.Config{Hello: h, Budget: budget}, Idle: idle}
}

// need is the memory that is held when everything with a bound is full at once: caches, waiting requests, sessions
// with their queues and messages half received, egress streams, keys that are waited for, compiled expressions, and
// work in hand. Work in hand is one evaluation for each worker and each processor, beside those that are begun.
// TestEveryBoundAtOnceFitsTheMemory measures it.
func need(cfg *config.Config) int64 {
	caches := keys.Config{MaxKeys: cfg.Cache.Keys, MaxContexts: cfg.Cache.Contexts, MaxFields: cfg.Cache.Contexts}
	if caches.Domains = domainConfig(cfg, nil, nil); caches.Domains.Opener != nil {
		caches.Domains.MaxDomains, caches.Domains.MaxVaultKeys = keys.DefaultMaxDomains, keys.DefaultMaxVaultKeys
	}
	each := sessionConfig(cfg, wire.Hello{}, nil)
	each.Handler = noHandler{}
	return caches.Cost() + int64(cfg.Work.QueueMiB)<<20 + int64(cfg.Sessions.MemoryMiB)<<20 +
		int64(cfg.Sessions.Max)*each.Cost() + server.MaxEgress*session.EgressCost +
		keys.DefaultMaxPending*unwrapCost + kms.DefaultMaxConcurrent*connectionCost + 2*expressionCache +
		int64(engine.MaxBegun+2*workerCount(cfg)+1)*engine.EvaluationCost + restCost
}

// fits checks that there is as much memory as the bounds need. A limit of 0 means unknown, and is not checked.
func fits(cfg *config.Config, limit int64) error {
	sum := need(cfg)
	if limit <= 0 || sum <= limit {
		return nil
	}
	return fmt.Errorf("%w: full caches, queue and sessions need %d MiB, the limit is %d MiB: "+
		"lower cache.keys, cache.contexts, work.queue_mib, sessions.max or sessions.memory_mib, or raise memory.limit_mib",
		errMemory, sum>>20, limit>>20)
}

// noHandler takes the place of the handler, on which a session's cost does not depend.
type noHandler struct{ session.Handler }
