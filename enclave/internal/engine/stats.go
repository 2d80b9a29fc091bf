package engine

import (
	"sync/atomic"
	"time"
	"unsafe"

	"redoubt/enclave/internal/durations"
	"redoubt/enclave/internal/expr"
	"redoubt/wire"
)

// Stats are the engine's counters and stage histograms. All methods are safe for concurrent use and do not allocate.
type Stats struct {
	counters [wire.StatGaugeInFlight]atomic.Int64
	stages   [wire.Stages]durations.Histogram
}

// Count adds one to a counter.
func (s *Stats) Count(id wire.StatID) { s.Add(id, 1) }

// Add adds n to a counter.
func (s *Stats) Add(id wire.StatID, n int64) { s.counters[id].Add(n) }

// Get returns a counter.
func (s *Stats) Get(id wire.StatID) int64 { return s.counters[id].Load() }

// Observe records the duration of a stage.
func (s *Stats) Observe(stage wire.Stage, d time.Duration) {
	s.stages[stage].Observe(d)
}

// Snapshot adds the stages of the request path and the counters that the engine keeps to m. The stage of KMS is not
// among them: the KMS client measures it.
func (s *Stats) Snapshot(m *wire.Stats) {
	for _, id := range [...]wire.StatID{
		wire.StatRequests, wire.StatFieldsOpened, wire.StatFieldsFailed, wire.StatExpressionsEvaluated,
		wire.StatExpressionsFailed, wire.StatOverloaded, wire.StatExpired, wire.StatBadRequests, wire.StatPanics,
		wire.StatSealedReplies, wire.StatDomainsCreated, wire.StatDomainWrapsAdded, wire.StatDomainWrapsChecked,
		wire.StatVaultKeysMinted, wire.StatResealedFromKMS, wire.StatResealedFromDomain, wire.StatDomainWritesRefused,
		wire.StatDomainWritesFailed,
	} {
		m.Add(id, s.Get(id))
	}
	for k := range wire.ExpressionKinds {
		id := wire.ExpressionKind(k).Stat()
		m.Add(id, s.Get(id))
	}
	for i := range s.stages {
		if wire.Stage(i) == wire.StageKMS {
			continue
		}
		h := s.stages[i].Snapshot()
		h.Add(m, wire.Stage(i))
	}
}

// failure counts an answer that is an error.
func (s *Stats) failure(c wire.Code) {
	switch c {
	case wire.Overloaded:
		s.Count(wire.StatOverloaded)
	case wire.DeadlineExceeded:
		s.Count(wire.StatExpired)
	case wire.BadRequest:
		s.Count(wire.StatBadRequests)
	default:
	}
}

// costs remembers, for each shape of expressions, how long an evaluation takes on average. It is a small table
// without locks, in which shapes may collide. A collision moves work between reader and worker, and changes no
// answer.
type costs [1024]atomic.Int64

func (c *costs) slot(p *expr.Plan) *atomic.Int64 {
	a := uintptr(unsafe.Pointer(p))
	return &c[(a>>6^a>>16)%uintptr(len(c))]
}

// quick reports whether the shape is known to be evaluated quickly.
func (c *costs) quick(p *expr.Plan) bool {
	d := c.slot(p).Load()
	return d > 0 && d < int64(inlineExpressions)
}

// slow reports whether the shape is known to be evaluated slowly.
func (c *costs) slow(p *expr.Plan) bool { return c.slot(p).Load() >= int64(inlineExpressions) }

func (c *costs) learn(p *expr.Plan, took time.Duration) {
	s := c.slot(p)
	old := s.Load()
	if old == 0 {
		old = int64(took)
	}
	s.Store(max(1, old+(int64(took)-old)/4))
}
