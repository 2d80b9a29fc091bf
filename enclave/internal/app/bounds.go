package app

import (
	"errors"
	"fmt"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/server"
	"redoubt/wire"
	"redoubt/wire/session"
)

const (
	// maxLanes is what a session may open: twice what a parent does.
	maxLanes = 4
	// workCost is an answer in the making, and the results that it is made of: one for each worker and each processor.
	workCost = 2 * wire.MaxBody
	// restCost is for the program, its goroutines' stacks, and compiled expressions.
	restCost = 16 << 20
)

// errMemory: the bounds of the configuration do not fit into its memory.
var errMemory = errors.New("memory")

// sessionConfig is the template of each session's configuration.
func sessionConfig(cfg *config.Config, h wire.Hello, idle func() bool) session.ServerConfig {
	h.MaxLanes = maxLanes
	budget := session.NewBudget(int64(cfg.Sessions.MemoryMiB) << 20)
	return session.ServerConfig{Config: session.Config{Hello: h, Budget: budget}, Idle: idle}
}

// fits checks that everything which is bounded may be full at once: caches, requests that wait, sessions with their
// queues and messages half received, egress streams, and work in hand. A limit of 0 is not known, and not checked.
func fits(cfg *config.Config, limit int64) error {
	caches := keys.Config{MaxKeys: cfg.Cache.Keys, MaxContexts: cfg.Cache.Contexts, MaxFields: cfg.Cache.Contexts}
	each := sessionConfig(cfg, wire.Hello{}, nil)
	each.Handler = noHandler{}
	sum := caches.Cost() + int64(cfg.Work.QueueMiB)<<20 + int64(cfg.Sessions.MemoryMiB)<<20 +
		int64(cfg.Sessions.Max)*each.Cost() + server.MaxEgress*session.EgressCost +
		int64(2*workerCount(cfg)+1)*workCost + restCost
	if limit <= 0 || sum <= limit {
		return nil
	}
	return fmt.Errorf("%w: full caches, queue and sessions need %d MiB, the limit is %d MiB: "+
		"lower cache.keys, cache.contexts, work.queue_mib, sessions.max or sessions.memory_mib, or raise memory.limit_mib",
		errMemory, sum>>20, limit>>20)
}

// noHandler stands for the handler, of which a session's cost does not depend.
type noHandler struct{ session.Handler }
