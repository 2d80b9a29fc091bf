//go:build dev

package simulate

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A link is the way from one part to another: a listener, whose connections are carried to the part that serves at
// present. It delays bytes as its own generator says, and fails as the plan says. Bytes of one connection keep their
// order; those of different connections overtake each other.
type link struct {
	name     string
	listener net.Listener
	count    func(kind string)

	mu        sync.Mutex
	rng       *rand.Rand
	target    func(ctx context.Context) (net.Conn, error)
	down      bool          // the part has ended: every dial fails
	refuse    time.Time     // until then connections are closed as they come
	stall     time.Time     // until then no byte moves
	late      time.Time     // until then no byte of the far end moves
	slow      time.Time     // until then bytes take slowBy longer, each connection its own share
	slowBy    time.Duration // at most
	pieces    time.Time     // until then bytes move a few at a time
	cutAfter  int           // a connection is cut after so many bytes; 0: none
	linger    time.Duration // how long the far end of a cut connection stays open
	open      map[*carried]bool
	read      uint64 // chunks that came in
	delivered uint64 // the highest chunk that went out
	wg        sync.WaitGroup
}

// carried is a connection on its way.
type carried struct {
	near, far net.Conn
	share     float64 // of slowBy
}

// chunkSize is the most bytes that move at once.
const chunkSize = 16 << 10

// newLink listens. Its generator is of its own, so that a change of the plan does not shift what the network does.
func newLink(name, network, address string, seed uint64, count func(string)) (*link, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return &link{
		name: name, listener: l, count: count, rng: rand.New(rand.NewPCG(seed, stream(name))),
		open: map[*carried]bool{}, down: true,
	}, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// serve carries connections until the link is closed.
func (l *link) serve() {
	l.wg.Go(func() {
		for {
			c, err := l.listener.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.carry(c) })
		}
	})
}

// close ends the link and all it carries.
func (l *link) close() {
	_ = l.listener.Close()
	l.cutAll()
	l.wg.Wait()
}

// to makes the link lead to a part that listens there.
func (l *link) to(network, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
	l.target = func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, address) }
}

// lead sets whether there is a part at the end.
func (l *link) lead(up bool) {
	l.mu.Lock()
	l.down = !up
	l.mu.Unlock()
	if !up {
		l.cutAll()
	}
}

// change changes what the link does, under its lock.
func (l *link) change(f func(l *link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// heal ends every fault.
func (l *link) heal() {
	l.change(func(l *link) {
		l.refuse, l.stall, l.late, l.cutAfter = time.Time{}, time.Time{}, time.Time{}, 0
		l.slow, l.pieces = time.Time{}, time.Time{}
	})
}

// cutAll cuts what is carried now.
func (l *link) cutAll() {
	l.mu.Lock()
	var all []*carried
	for c := range l.open {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		l.end(c)
	}
}

func (l *link) end(c *carried) {
	l.mu.Lock()
	far := c.far
	l.mu.Unlock()
	_ = c.near.Close()
	if far != nil {
		_ = far.Close()
	}
}

func (l *link) carry(near net.Conn) {
	l.mu.Lock()
	c := &carried{near: near, share: l.rng.Float64()}
	target, refused := l.target, l.down || time.Now().Before(l.refuse)
	if refused && !l.down {
		l.count("network.refused")
	}
	l.open[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, c)
		l.mu.Unlock()
		l.end(c)
	}()
	if refused {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	far, err := target(ctx)
	cancel()
	if err != nil {
		return
	}
	l.mu.Lock()
	c.far = far
	gone := l.down
	l.mu.Unlock()
	if gone {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(c, far, near) })
	both.Go(func() { l.pump(c, near, far) })
	both.Wait()
}

// pump moves bytes one way until that way ends, which it passes on, or the connection is cut.
func (l *link) pump(c *carried, to, from net.Conn) {
	buf := make([]byte, chunkSize)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.move(c, to, buf[:n]) {
			l.end(c)
			return
		}
		switch {
		case err == io.EOF: //nolint:errorlint // a connection returns exactly this
			if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				return
			}
			l.end(c)
			return
		case err != nil:
			l.end(c)
			return
		}
	}
}

// fate is what becomes of a chunk.
type fate struct {
	number uint64        // in the order in which chunks came
	delay  time.Duration // on its way
	cut    int           // the connection is cut after so many bytes of it; -1: it is not
	step   int           // how many bytes move at once
	linger time.Duration // how long the far end of a cut connection stays open
}

// move delivers one chunk, whole or cut. It reports whether the connection goes on.
func (l *link) move(c *carried, to net.Conn, b []byte) bool {
	f := l.decide(c, to == c.near, len(b))
	if f.delay > 0 {
		time.Sleep(f.delay)
	}
	l.arrived(f.number)
	if f.cut >= 0 {
		_, _ = to.Write(b[:f.cut])
		if f.linger > 0 { // one end sees the cut now, the other later: it holds the old connection beside the new one
			_ = c.near.Close()
			time.Sleep(f.linger)
		}
		return false
	}
	for len(b) > 0 {
		n := min(f.step, len(b))
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		if b = b[n:]; len(b) > 0 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	return true
}

// decide says what becomes of a chunk of n bytes, which comes back from the far end or not.
func (l *link) decide(c *carried, back bool, n int) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.read++
	f := fate{number: l.read, delay: time.Duration(l.rng.IntN(200)) * time.Microsecond, cut: -1, step: n}
	if now.Before(l.slow) {
		f.delay += time.Duration(float64(l.slowBy) * c.share * l.rng.Float64())
		l.count("network.slow")
	}
	if wait := l.stall.Sub(now); wait > 0 {
		f.delay += wait
		l.count("network.stalled")
	}
	if wait := l.late.Sub(now); back && wait > 0 {
		f.delay += wait
		l.count("network.late_answers")
	}
	if now.Before(l.pieces) && n > 1 {
		f.step = 1 + l.rng.IntN(n)
		if n < 512 {
			f.step = 1 + l.rng.IntN(7)
		}
		l.count("network.pieces")
	}
	switch {
	case l.cutAfter > n:
		l.cutAfter -= n
	case l.cutAfter > 0:
		f.cut, f.linger, l.cutAfter = l.cutAfter-1, l.linger, 0
		l.count("network.cut")
		if f.linger > 0 {
			l.count("network.duplicate")
		}
	}
	return f
}

// arrived counts chunks that come after one that was sent later, on another connection.
func (l *link) arrived(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number < l.delivered {
		l.count("network.reordered")
	}
	l.delivered = max(l.delivered, number)
}

// stream is FNV-1a, to give names generators of their own.
func stream(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// delays is what the link's faults may add to a request, at most.
func (l *link) delays() time.Duration { return 2 * time.Second }
