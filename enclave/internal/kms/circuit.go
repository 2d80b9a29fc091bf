package kms

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	circuitWindow   = 20 // answers that are looked at
	circuitFailures = 10 // failures among them that open the circuit
	circuitProbes   = 3  // successful probes in a row that close it
	circuitMinPause = 500 * time.Millisecond
	circuitMaxPause = 10 * time.Second
)

// CircuitState says whether KMS is asked at present.
type CircuitState uint8

// States of a circuit.
const (
	CircuitClosed   CircuitState = iota // all attempts pass
	CircuitHalfOpen                     // one probe at a time
	CircuitOpened                       // none
)

// String is "closed", "half_open" or "open".
func (s CircuitState) String() string { return [...]string{"closed", "half_open", "open"}[s] }

// A circuit keeps attempts away from a service that fails them. It has no clock of its own.
type circuit struct {
	mu       sync.Mutex
	state    CircuitState
	window   uint32 // last answers, newest in bit 0; 1 means a failure
	pause    time.Duration
	until    time.Time // when an open circuit becomes half-open
	probing  bool
	probesOK int
	cause    Cause // of the failure that opened it
	opened   uint64
}

// A pass is the permission for one attempt. It must be given back by report.
type pass struct{ probe bool }

// allow asks for a pass. If there is none, it says how long to wait, and what failed.
func (c *circuit) allow(now time.Time) (p pass, ok bool, wait time.Duration, cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitClosed {
		return pass{}, true, 0, OK
	}
	if c.state == CircuitOpened && now.Before(c.until) {
		return pass{}, false, c.until.Sub(now), c.cause
	}
	if c.state == CircuitOpened {
		c.state, c.probing, c.probesOK = CircuitHalfOpen, false, 0
	}
	if c.probing {
		return pass{}, false, circuitMinPause, c.cause
	}
	c.probing = true
	return pass{probe: true}, true, 0, OK
}

// refuses reports whether allow would refuse because the pause is not over. It takes no pass.
func (c *circuit) refuses(now time.Time) (wait time.Duration, cause Cause, refuses bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitOpened && now.Before(c.until) {
		return c.until.Sub(now), c.cause, true
	}
	return 0, OK, false
}

// report ends an attempt. A cause that says nothing about the service (the caller left) is not counted.
func (c *circuit) report(now time.Time, p pass, cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.probe {
		c.reportProbe(now, cause)
		return
	}
	if c.state != CircuitClosed || cause == Cancelled {
		return // an attempt from before the circuit opened
	}
	c.window = c.window<<1&(1<<circuitWindow-1) | boolBit(cause.failsCircuit())
	if cause.failsCircuit() && bits.OnesCount32(c.window) >= circuitFailures {
		c.pause = circuitMinPause
		c.open(now, cause)
	}
}

func (c *circuit) reportProbe(now time.Time, cause Cause) {
	c.probing = false
	switch {
	case cause == Cancelled:
	case cause.failsCircuit():
		c.pause = min(2*c.pause, circuitMaxPause)
		c.open(now, cause)
	default:
		if c.probesOK++; c.probesOK >= circuitProbes {
			c.state, c.window = CircuitClosed, 0
		}
	}
}

// open starts a pause of half to all of its nominal length, so that enclaves do not probe in step.
func (c *circuit) open(now time.Time, cause Cause) {
	c.state, c.cause, c.window = CircuitOpened, cause, 0
	c.until = now.Add(c.pause/2 + rand.N(c.pause/2)) //nolint:gosec // jitter needs no secrecy
	c.opened++
}

func (c *circuit) snapshot(now time.Time) (state CircuitState, opened uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitOpened && !now.Before(c.until) {
		return CircuitHalfOpen, c.opened
	}
	return c.state, c.opened
}

func boolBit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
