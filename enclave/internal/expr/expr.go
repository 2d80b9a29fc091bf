package expr

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/parser"
)

// MAC computes the keyed digest behind hmac_sha256. It must be safe for concurrent use.
type MAC interface {
	// HMACSHA256 appends HMAC-SHA-256(key, message) to dst. It must not retain message. It fails if there is no key
	// at the moment.
	HMACSHA256(dst, message []byte) ([]byte, error)
}

// Config configures an [Evaluator].
type Config struct {
	Limits Limits
	// MAC backs hmac_sha256; nil makes that function fail with [KindKey].
	MAC MAC
	// Now is the clock for age, today_utc and deadlines (default time.Now).
	Now func() time.Time
}

// Field is a variable. Name and Value are borrowed for the call.
type Field struct {
	Name []byte
	// Value is the plaintext: valid UTF-8, checked by the caller. It must not change during [Plan.Eval].
	Value []byte
	// Null marks a field that could not be opened. The variable exists and is null.
	Null bool
}

// Expression is one named expression of a request. Both slices are borrowed for the call.
type Expression struct {
	Name, Source []byte
}

// ValueKind says how to read a result's bytes.
type ValueKind uint8

// Value kinds.
const (
	Absent ValueKind = iota // no value; Result.Err says why
	String                  // raw UTF-8 of a string
	JSON                    // one JSON value that is not a string
)

// Result is the outcome of one expression. Its bytes are out[Start:End] of the buffer that [Plan.Eval] returned.
type Result struct {
	Err        Kind
	Kind       ValueKind
	Start, End int
}

// ErrTooMany reports more expressions than Limits.Expressions.
var ErrTooMany = errors.New("expr: too many expressions")

// Evaluator compiles, caches and evaluates. It is safe for concurrent use.
type Evaluator struct {
	limits   Limits
	now      func() time.Time
	parser   *parser.Parser
	env      *cel.Env
	calls    map[string]callable // which functions exist, and how they may be called
	decorate cel.ProgramOption
	programs *cache[*program]
	plans    *cache[*Plan]
	states   sync.Pool // of *state
	keys     sync.Pool // of *[]byte, for plan keys

	hits, misses atomic.Uint64
}

// New returns an evaluator. It fails on a negative limit.
func New(cfg Config) (*Evaluator, error) {
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Evaluator{
		limits:   limits,
		now:      cfg.Now,
		programs: newCache[*program](limits.Cache),
		plans:    newCache[*Plan](limits.Cache),
	}
	if err := e.initLanguage(library{now: cfg.Now, mac: cfg.MAC, limits: limits}); err != nil {
		return nil, fmt.Errorf("expr: set up language: %w", err)
	}
	e.states.New = func() any { return newState(e) }
	e.keys.New = func() any { return new([]byte) }
	return e, nil
}

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
