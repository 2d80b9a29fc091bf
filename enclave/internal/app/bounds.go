package app

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
	// maxLanes is what a session may open: twice what a parent does.
	maxLanes = 4
	// expressionCache bounds compiled programs, and again the plans of requests, in bytes: some hundred expressions.
	expressionCache = 4 << 20
	// unwrapCost is a key that is waited for: a copy of the request, and the goroutine's stack. connectionCost is a
	// connection to KMS, its TLS and its goroutines included.
	unwrapCost     = 16 << 10
	connectionCost = 64 << 10
	// restCost is for the program, twice what it holds when idle.
	restCost = 6 << 20
)

// errMemory: the bounds of the configuration do not fit into its memory.
var errMemory = errors.New("memory")

// sessionConfig is the template of each session's configuration.
func sessionConfig(cfg *config.Config, h wire.Hello, idle func() bool) session.ServerConfig {
	h.MaxLanes = maxLanes
	budget := session.NewBudget(int64(cfg.Sessions.MemoryMiB) << 20)
	return session.ServerConfig{Config: session.Config{Hello: h, Budget: budget}, Idle: idle}
}

// need is the memory that is held when everything which is bounded is full at once: caches, requests that wait,
// sessions with their queues and messages half received, egress streams, keys that are waited for, compiled
// expressions, and work in hand: one evaluation for each worker and each processor, beside those that are begun.
// TestEveryBoundAtOnceFitsTheMemory measures it.
func need(cfg *config.Config) int64 {
	caches := keys.Config{MaxKeys: cfg.Cache.Keys, MaxContexts: cfg.Cache.Contexts, MaxFields: cfg.Cache.Contexts}
	each := sessionConfig(cfg, wire.Hello{}, nil)
	each.Handler = noHandler{}
	return caches.Cost() + int64(cfg.Work.QueueMiB)<<20 + int64(cfg.Sessions.MemoryMiB)<<20 +
		int64(cfg.Sessions.Max)*each.Cost() + server.MaxEgress*session.EgressCost +
		keys.DefaultMaxPending*unwrapCost + kms.DefaultMaxConcurrent*connectionCost + 2*expressionCache +
		int64(engine.MaxBegun+2*workerCount(cfg)+1)*engine.EvaluationCost + restCost
}

// fits checks that there is as much memory as the bounds need. A limit of 0 is not known, and not checked.
func fits(cfg *config.Config, limit int64) error {
	sum := need(cfg)
	if limit <= 0 || sum <= limit {
		return nil
	}
	return fmt.Errorf("%w: full caches, queue and sessions need %d MiB, the limit is %d MiB: "+
		"lower cache.keys, cache.contexts, work.queue_mib, sessions.max or sessions.memory_mib, or raise memory.limit_mib",
		errMemory, sum>>20, limit>>20)
}

// noHandler stands for the handler, of which a session's cost does not depend.
type noHandler struct{ session.Handler }
