package session

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
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

// polling is taken by who polls, one goroutine of the process at a time, so that no more than one CPU is spent on it.
var polling atomic.Bool

// poller keeps a session from polling where it does not pay. Its fields belong to who holds polling.
type poller struct {
	misses int
	turns  int // to let pass
}

// begin takes the right to poll, which end gives back.
func (p *poller) begin() bool {
	if !polling.CompareAndSwap(false, true) {
		return false
	}
	if p.turns > 0 {
		p.turns--
		polling.Store(false)
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
	polling.Store(false)
}

// poll looks until look succeeds or patience ends. Between two looks, whoever else wants the CPU has it.
func (m *mux) poll(patience time.Duration, look func() bool) (hit bool) {
	if m.conn.raw == nil || !m.mayPoll || !m.solitary() || !m.poller.begin() {
		return false
	}
	for began := time.Now(); !hit && time.Since(began) < patience; hit = look() {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	m.poller.end(hit)
	return hit
}

// solitary reports whether requests have come one at a time lately. Those that come together keep the CPUs awake
// anyway, and want them.
func (m *mux) solitary() bool {
	n := m.company.Load()
	if n > 0 {
		m.company.CompareAndSwap(n, n-1)
	}
	return n == 0
}
