package h1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Shed is the reason why a connection ended, or was not accepted, for want of room.
type Shed int

// The reasons, in the order in which they apply: a stranger made room, an idle caller made room, no connection could.
const (
	ShedStranger Shed = iota
	ShedCaller
	ShedRefused
	Sheds // the number of reasons
)

// String is the value of the metric's label.
func (s Shed) String() string { return [...]string{"stranger", "idle_caller", "refused"}[s] }

// ShedFor is the reason for a connection that made room. known says whether a caller was known on it.
func ShedFor(known bool) Shed {
	if known {
		return ShedCaller
	}
	return ShedStranger
}

// Rank is a connection's place in the order in which connections end when a new one finds no room. The lowest rank
// ends first, and of equal ranks the connection that has had it for the longest time.
type Rank int

// These are the ranks. A server that cannot distinguish idle connections from sending ones ranks both as idle.
const (
	IdleStranger    Rank = iota // no caller has been known on it
	SendingStranger             // the same, in the middle of a request's head or body
	IdleCaller                  // a caller was known on it, and can connect again
	Stays                       // a request is in work, or it is ending already
)

// First returns the connection that ends first, and whether any may end. of returns a connection's rank and since
// when the connection has it, in any unit.
func First[C comparable](all map[C]struct{}, of func(C) (rank Rank, since int64)) (first C, ok bool) {
	best, oldest := Stays, int64(0)
	for c := range all {
		rank, since := of(c)
		if rank < best || rank == best && rank != Stays && since < oldest {
			first, best, oldest, ok = c, rank, since, true
		}
	}
	return first, ok
}

// Limit bounds the connections of a net/http server that are open at once, and decides which one ends when a new one
// finds no room. First end connections on which no caller has been known, whether they are idle, in a handshake or
// sending the head of a request; among these, the one that has been so for the longest time. Then end those of known
// callers, in the same order: such a caller can connect again. A connection with a request that a handler has begun
// is never cut off. If no connection may end, the new one is closed.
//
// The server MUST have the Limit's Listener below all others, its ConnContext and its Handler.
type Limit struct {
	most int
	shed func(Shed)

	mu    sync.Mutex
	slots map[*slot]struct{}
}

// NewLimit makes a limit of most connections. It calls shed for each connection that it ends or refuses.
func NewLimit(most int, shed func(Shed)) *Limit {
	return &Limit{most: most, shed: shed, slots: make(map[*slot]struct{})}
}

// evicted is far below any number of requests that a connection can serve.
const evicted = -1 << 40

// slot is one connection, below TLS.
type slot struct {
	net.Conn
	limit   *Limit
	once    sync.Once
	since   atomic.Int64 // when the connection came, or its last request ended, Unix nanoseconds
	serving atomic.Int64 // requests that a handler has begun; below 0: no handler will begin one
	known   atomic.Bool  // a caller was known on it
}

// Close closes the connection, and makes room.
func (s *slot) Close() error {
	s.once.Do(func() {
		s.limit.mu.Lock()
		defer s.limit.mu.Unlock()
		delete(s.limit.slots, s)
	})
	return s.Conn.Close()
}

// CloseWrite ends our side.
func (s *slot) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// slotOf finds the slot below a connection of the server; nil if it has none.
func slotOf(c net.Conn) *slot {
	for {
		if s, ok := c.(*slot); ok {
			return s
		}
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = over.NetConn()
	}
}

// Listener bounds the connections that ln accepts.
func (l *Limit) Listener(ln net.Listener) net.Listener { return limited{ln, l} }

type limited struct {
	net.Listener
	limit *Limit
}

// Accept returns the next connection for which there is room.
func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if s, ok := l.limit.admit(c); ok {
			return s, nil
		}
		_ = c.Close() // nothing was said on it
	}
}

// admit accepts c, if need be in the place of another connection.
func (l *Limit) admit(c net.Conn) (*slot, bool) {
	s := &slot{Conn: c, limit: l}
	s.since.Store(time.Now().UnixNano())
	for {
		if l.add(s) {
			return s, true
		}
		v := l.victim()
		if v == nil {
			l.shed(ShedRefused)
			return nil, false
		}
		if !v.serving.CompareAndSwap(0, evicted) {
			continue // a request has come meanwhile
		}
		_ = v.Close() // its server notices
		l.shed(ShedFor(v.known.Load()))
	}
}

func (l *Limit) add(s *slot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.slots) >= l.most {
		return false
	}
	l.slots[s] = struct{}{}
	return true
}

// victim chooses the connection that ends. It returns nil if none may end.
func (l *Limit) victim() *slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	chosen, _ := First(l.slots, (*slot).rank)
	return chosen
}

// rank is the connection's place in the order of ending. net/http does not report when a request's head begins.
func (s *slot) rank() (rank Rank, since int64) {
	since = s.since.Load()
	switch {
	case s.serving.Load() != 0:
		return Stays, since
	case s.known.Load():
		return IdleCaller, since
	}
	return IdleStranger, since
}

type slotKey struct{}

// ConnContext is for the server, in place of the package's own ConnContext, which it calls.
func (*Limit) ConnContext(ctx context.Context, c net.Conn) context.Context {
	ctx = ConnContext(ctx, c)
	if s := slotOf(c); s != nil {
		return context.WithValue(ctx, slotKey{}, s)
	}
	return ctx
}

// Handler must be the outermost of all handlers.
func (*Limit) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := r.Context().Value(slotKey{}).(*slot); ok {
			defer s.served()
			if s.serving.Add(1) < 0 {
				panic(http.ErrAbortHandler) // it is closed
			}
		}
		next.ServeHTTP(w, r)
	})
}

// served records that a request has ended.
func (s *slot) served() {
	s.since.Store(time.Now().UnixNano())
	s.serving.Add(-1)
}

// Known records that the caller of a request is known, if the server of its connection has a Limit.
func Known(r *http.Request) {
	if s, ok := r.Context().Value(slotKey{}).(*slot); ok {
		s.known.Store(true)
	}
}
