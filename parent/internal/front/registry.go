package front

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/kit/h1"
)

// registry knows every open connection. It bounds their number, and decides which one ends when a new one finds no
// room: see [h1.Rank]. A request that is being served is never cut off. Without authentication, a caller counts as
// known once one of its requests was admitted to a route that touches data.
//
// It also shuts the server down. fasthttp's own Shutdown closes connections that look idle from a goroutine of its
// own, and drops a request that arrives on one just then. drain has each connection's own goroutine check first.
type registry struct {
	most  int
	freed chan struct{} // gets a value when a connection has ended
	shed  func(h1.Shed)

	draining atomic.Bool   // set by drain, under mu
	drained  chan struct{} // closed when draining and no connection is left

	mu        sync.Mutex
	conns     map[*conn]struct{}
	listeners map[net.Listener]struct{} // of Serve
}

const (
	// roomTries bounds how many connections are asked to make room for a new one. roomWait is how long each is waited
	// for: it only has to wake up. A connection on which a request has just come stays.
	roomTries = 16
	roomWait  = 100 * time.Millisecond
	// spareWorkers is how many more goroutines than connections fasthttp may have: a goroutine that has closed its
	// connection takes a moment to be free.
	spareWorkers = 64
)

func newRegistry(most int, shed func(h1.Shed)) *registry {
	return &registry{
		most: most, shed: shed, freed: make(chan struct{}, 1), drained: make(chan struct{}),
		conns: make(map[*conn]struct{}), listeners: make(map[net.Listener]struct{}),
	}
}

// admit accepts c, if need be in the place of another connection. It reports false if each connection has a request
// in work.
func (r *registry) admit(c *conn) bool {
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
	c.evicted = r.draining.Load() // accepted before the listener was closed
	return true
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	_, held := r.conns[c]
	delete(r.conns, c)
	r.settle()
	r.mu.Unlock()
	if held && c.leaving.Load() {
		r.shed(h1.ShedFor(c.known.Load()))
	}
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// victim chooses the connection that ends, and marks it.
func (r *registry) victim() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	chosen, ok := h1.First(r.conns, (*conn).rank)
	if !ok {
		return nil
	}
	chosen.leaving.Store(true)
	return chosen
}

// rank is the connection's place in the order of ending.
func (c *conn) rank() (rank h1.Rank, since int64) {
	c.mu.Lock()
	idle := !c.busy && !c.asked
	c.mu.Unlock()
	since = c.since.Load()
	known := c.known.Load()
	switch {
	case c.leaving.Load(), c.serving.Load():
		return h1.Stays, since
	case !known && idle:
		return h1.IdleStranger, since
	case !known:
		return h1.SendingStranger, since
	case idle:
		return h1.IdleCaller, since
	}
	return h1.Stays, since
}

// leave ends a connection that is idle or still sending. Its own goroutine wakes, checks whether a request has come
// meanwhile, and closes. A client in the middle of a request gets 408.
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

// open notes a listener of Serve. It reports false if the server is shut down.
func (r *registry) open(ln net.Listener) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining.Load() {
		return false
	}
	r.listeners[ln] = struct{}{}
	return true
}

// shut notes that no more connections come from ln.
func (r *registry) shut(ln net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.listeners, ln)
	r.settle()
}

// settle tells drain when no connection is left. The caller holds mu.
func (r *registry) settle() {
	if !r.draining.Load() || len(r.conns)+len(r.listeners) > 0 {
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}

// drain closes the listeners, ends each connection that is idle and on which no request has reached this host, and
// waits for the others, which end with their answers. If they take longer than ctx, it returns ctx's error.
func (r *registry) drain(ctx context.Context) error {
	r.mu.Lock()
	r.draining.Store(true)
	var err error
	for ln := range r.listeners {
		err = errors.Join(err, ln.Close())
	}
	for c := range r.conns {
		c.evict()
	}
	r.settle()
	r.mu.Unlock()
	select {
	case <-r.drained:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
