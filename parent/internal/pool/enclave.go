package pool

import (
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"redoubt/wire"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

// enclave is one enclave and its sessions.
type enclave struct {
	url    string
	dialer *transport.Dialer
	links  []*link
	stop   func()
	since  time.Time // when the pool learned of it
	// alive is when the enclave last answered a ping. It is nil before the first. It has its monotonic reading: by
	// the wall clock, a step would make every enclave look wedged at once.
	alive atomic.Pointer[time.Time]

	opening   singleflight.Group // of domains, by the SHA-256 of their records
	handOvers chan struct{}      // one for each record that is being handed over

	started  atomic.Int64 // its latest start by its own clock, Unix milliseconds; 0 before the first session
	restarts atomic.Int64
}

// met takes in what an enclave says at the beginning of a session. An enclave that started later than the one before
// is another process at the same address.
func (e *enclave) met(hello *wire.Hello) {
	for {
		old := e.started.Load()
		if hello.StartMS <= old {
			return
		}
		if e.started.CompareAndSwap(old, hello.StartMS) {
			if old != 0 {
				e.restarts.Add(1)
			}
			return
		}
	}
}

// link is one session slot: empty, or with a live session.
type link struct {
	enclave *enclave
	client  atomic.Pointer[session.Client]
	bits    atomic.Uint32 // wire.Health of the last pong, 0 without a session
	offset  atomic.Int64  // enclave's clock minus ours, ms
}

func newEnclave(url string, d *transport.Dialer, sessions int) *enclave {
	e := &enclave{url: url, dialer: d, since: time.Now(), stop: func() {}, handOvers: make(chan struct{}, maxHandOvers)}
	for range sessions {
		e.links = append(e.links, &link{enclave: e})
	}
	return e
}

func (l *link) health() wire.Health { return wire.Health(l.bits.Load()) }

// pong records what a pong says.
func (l *link) pong(m wire.Pong, rtt time.Duration) {
	now := time.Now()
	l.bits.Store(uint32(m.Health))
	l.offset.Store(m.ClockMS - now.Add(-rtt/2).UnixMilli())
	l.enclave.alive.Store(&now)
}

// Status describes one enclave.
type Status struct {
	URL string
	// ID, Build and PCRs are what the enclave says of itself. They are empty while there is no session.
	ID, Build string
	PCRs      []wire.PCR
	// Started is the enclave's start by its own clock, Unix milliseconds; 0 if unknown.
	Started int64
	// Sessions is the number of open sessions, and Ready how many of them are at an enclave that is ready.
	Sessions, Ready int
	// Lanes of those sessions, for single requests and for batches together.
	Lanes    int
	InFlight int
	// Restarts is how often another process was found at the enclave's address since the pool learned of it.
	Restarts int64
	// Health of the last pong.
	Health wire.Health
	// ClockOffset is the enclave's clock minus ours.
	ClockOffset time.Duration
	// Silent is how long the enclave has not answered a ping.
	Silent time.Duration
}

// Enclaves describes all enclaves, in the order given to Set.
func (p *Pool) Enclaves() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Status, 0, len(p.enclaves))
	for _, e := range p.enclaves {
		out = append(out, e.status())
	}
	return out
}

// InFlight is the number of requests that wait for an answer, of all enclaves together.
func (p *Pool) InFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.enclaves {
		for _, l := range e.links {
			if c := l.client.Load(); c != nil {
				n += c.InFlight()
			}
		}
	}
	return n
}

func (e *enclave) status() Status {
	s := Status{URL: e.url, Restarts: e.restarts.Load()}
	seen := e.since
	if at := e.alive.Load(); at != nil {
		seen = *at
	}
	s.Silent = time.Since(seen)
	for _, l := range e.links {
		c := l.client.Load()
		if c == nil {
			continue
		}
		s.Sessions++
		s.Lanes += c.Lanes()
		s.InFlight += c.InFlight()
		s.Health = l.health()
		if s.Health.Has(wire.HealthReady) && !c.Draining() {
			s.Ready++
		}
		s.ClockOffset = time.Duration(l.offset.Load()) * time.Millisecond
		if hello := c.Peer(); hello != nil {
			s.ID, s.Build = string(hello.EnclaveID), string(hello.BuildID)
			s.PCRs, s.Started = hello.PCRs, hello.StartMS
		}
	}
	return s
}
