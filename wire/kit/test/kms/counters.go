package kms

import (
	"maps"
	"sync"
)

// OperationCount is how often an operation was called, by outcome.
type OperationCount struct {
	Calls    int            `json:"calls"`
	Attested int            `json:"attested"` // with an attestation document that verified
	Codes    map[string]int `json:"codes"`    // "OK", "dropped" or the exception's name
}

// counters is the number of calls by operation and outcome. The zero value is empty.
type counters struct {
	mu sync.Mutex
	m  map[string]*OperationCount
}

func (c *counters) add(operation, code string, attested bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]*OperationCount)
	}
	o := c.m[operation]
	if o == nil {
		o = &OperationCount{Codes: make(map[string]int)}
		c.m[operation] = o
	}
	o.Calls++
	o.Codes[code]++
	if attested {
		o.Attested++
	}
}

func (c *counters) snapshot() map[string]OperationCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]OperationCount, len(c.m))
	for name, o := range c.m {
		copied := *o
		copied.Codes = maps.Clone(o.Codes)
		out[name] = copied
	}
	return out
}

func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m = nil
}
