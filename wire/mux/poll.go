package mux

import (
	"sync/atomic"
	"time"
)

// Polling: to be woken costs a process on an idle CPU far more than a hot request takes. So a caller that is alone
// looks for its answer itself for a while before it waits, and an enclave looks for the next request.
const (
	// answerPatience is longer than a hot request takes. It is a loss for one that waits for KMS or a key agreement.
	answerPatience = 100 * time.Microsecond
	// requestPatience is longer than a caller that sends one request after the other is away.
	requestPatience = 250 * time.Microsecond
	// maxMisses bounds how long a poller keeps away after looking in vain: 2 to its power of turns.
	maxMisses = 6
)

// polls is set while a goroutine polls. Only one of the process does at a time, so that no more than one CPU is spent.
var polls atomic.Bool

// polling is of one connection.
type polling struct {
	mayPoll bool // there is a processor to spare
	poller  poller
}

// poller keeps a connection from polling where it does not pay. Its fields are protected by polls.
type poller struct {
	misses int
	turns  int // to let pass
}

// begin takes the right to poll, which end gives back.
func (p *poller) begin() bool {
	if !polls.CompareAndSwap(false, true) {
		return false
	}
	if p.turns > 0 {
		p.turns--
		polls.Store(false)
		return false
	}
	return true
}

func (p *poller) end(hit bool) {
	if hit {
		p.misses = 0
	} else {
		p.misses = min(p.misses+1, maxMisses)
		p.turns = 1 << p.misses
	}
	polls.Store(false)
}

// Poll is for a caller that is alone, before it waits for its answer: it calls look, which is to call Peek, until look
// reports true or it does not pay any longer.
func (c *Conn) Poll(look func() bool) { c.poll(answerPatience, look) }

// poll looks until look succeeds or patience ends. Between two looks it gives the CPU to others.
func (c *Conn) poll(patience time.Duration, look func() bool) (hit bool) {
	if c.raw == nil || !c.mayPoll || !c.solitary() || !c.poller.begin() {
		return false
	}
	for began := time.Now(); !hit && time.Since(began) < patience; hit = look() {
		yield()
	}
	c.poller.end(hit)
	return hit
}

// solitary reports whether requests have come one at a time lately. Those that come together keep the CPUs awake
// anyway, and want them.
func (c *Conn) solitary() bool {
	n := c.company.Load()
	if n > 0 {
		c.company.CompareAndSwap(n, n-1)
	}
	return n == 0
}
