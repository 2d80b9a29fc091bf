package front

import (
	"sync"
	"time"

	"redoubt/wire/kit/h1"
)

// registry bounds the connections that are open at once, and decides which ends when a new one finds no room. First
// go those on which nobody has authenticated: the idle ones, then those that are still sending a request, the oldest
// first. Then go the idle ones of callers who have, the one that was idle longest first: such a caller connects again.
// A request that is being served is never cut off. Without authentication, a caller counts as known once a request of
// his was admitted to a route that touches data.
type registry struct {
	most  int
	freed chan struct{} // told when a connection has ended
	shed  func(h1.Shed)

	mu    sync.Mutex
	conns map[*conn]struct{}
}

const (
	// roomTries bounds how many connections are asked to make room for one, roomWait how long each is waited for: it has
	// only to wake up. A connection on which a request has come just then stays.
	roomTries = 16
	roomWait  = 100 * time.Millisecond
	// spareWorkers is how many more goroutines than connections fasthttp may have: one that has closed its connection
	// takes a moment to be free.
	spareWorkers = 64
)

func newRegistry(most int, shed func(h1.Shed)) *registry {
	return &registry{most: most, shed: shed, freed: make(chan struct{}, 1), conns: make(map[*conn]struct{})}
}

// admit takes c in, if need be in the place of another. It reports false if each connection has a request in work.
func (r *registry) admit(c *conn) bool {
	if r == nil {
		return true
	}
	c.since.Store(time.Now().UnixNano())
	for range roomTries {
		if r.add(c) {
			return true
		}
		v := r.victim()
		if v == nil {
			break
		}
		v.leave()
		wait := time.NewTimer(roomWait)
		select {
		case <-r.freed:
		case <-wait.C:
		}
		wait.Stop()
	}
	if r.add(c) {
		return true
	}
	r.shed(h1.ShedRefused)
	return false
}

func (r *registry) add(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.conns) >= r.most {
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *registry) remove(c *conn) {
	if r == nil {
		return
	}
	r.mu.Lock()
	_, held := r.conns[c]
	delete(r.conns, c)
	r.mu.Unlock()
	switch {
	case !held || !c.leaving.Load():
	case c.known.Load():
		r.shed(h1.ShedCaller)
	default:
		r.shed(h1.ShedStranger)
	}
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// victim chooses who ends, and marks it.
func (r *registry) victim() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	var chosen *conn
	var rank int
	for c := range r.conns {
		n := c.rank()
		if n == 0 {
			continue
		}
		if chosen == nil || n < rank || n == rank && c.since.Load() < chosen.since.Load() {
			chosen, rank = c, n
		}
	}
	if chosen != nil {
		chosen.leaving.Store(true)
	}
	return chosen
}

// rank is the connection's turn to end: 1 first, 0 never.
func (c *conn) rank() int {
	c.mu.Lock()
	idle := !c.busy && !c.asked
	c.mu.Unlock()
	known := c.known.Load()
	switch {
	case c.leaving.Load(), c.serving.Load():
		return 0
	case !known && idle:
		return 1
	case !known:
		return 2
	case idle:
		return 3
	}
	return 0
}

// leave ends a connection that is idle or still sending: its own goroutine wakes, looks whether a request has come
// meanwhile, and closes. A client in the middle of a request is told 408.
func (c *conn) leave() {
	c.mu.Lock()
	sending := c.busy || c.asked
	if sending && !c.serving.Load() {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
	}
	c.mu.Unlock()
	if !sending {
		c.evict()
	}
}
