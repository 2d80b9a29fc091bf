package session

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/rawio"
)

// readBuffer is what one read of the connection takes at most.
const readBuffer = 64 << 10

// laneIO is the other user of a groupConn beside yamux: the lanes.
type laneIO interface {
	// owns says whether frames of this yamux stream are the lanes'.
	owns(stream uint32) bool
	// header takes the header of such a frame, data the bytes that follow the header of a data frame, as they come.
	header(h muxHeader, now time.Time) error
	// foreign judges a header that is not a lane's: whether yamux gets to see the frame.
	foreign(h muxHeader) (pass bool, err error)
	data(b []byte, now time.Time) error
	// settle is called when all that has been read has been handled, resume when the connection is free to write.
	settle()
	resume()
	// panicked ends the session for a panic that was recovered, and returns why it ended.
	panicked(v any) error
}

// groupConn is the connection as yamux sees it, and as the lanes do (mux_read.go, mux_write.go).
//
// Reading: yamux's receiving goroutine calls Read, which hands the frames of lanes to lanes, on that goroutine, where
// they lie in the buffer, and gives yamux only the others. A caller that polls for its answer does the former too, by
// peek, while that goroutine waits for the socket. Who holds r reads.
//
// Writing: who holds w writes whole yamux frames, never more than wire.MaxWrite bytes at once, and first what out
// still holds. A write is tried without blocking; only yamux's sending goroutine and the mux's writer wait for
// a full socket, under a deadline whose passing ends the session. yamux calls Write first with a frame's header and
// then with its body: the header is held back until the body is there, so that a frame costs one system call.
type groupConn struct {
	net.Conn
	timeout time.Duration
	lanes   laneIO // nil: none
	cause   atomic.Pointer[error]
	begin   chan struct{} // closed when all is set that a read may reach; nil: it is

	w     sync.Mutex
	out   []byte      // being written, at most wire.MaxWrite
	raw   *rawio.Conn // nil: the connection has no descriptor, every write waits
	yhead []byte      // of yamux's sending goroutine: the header held back

	linger func() bool // of a server: polls for more before Read waits; nil: it waits at once
	ready  func() bool

	r        sync.Mutex
	wanted   atomic.Bool // Read wants r: who polls leaves it alone, else Read would get it after a millisecond only
	in       []byte
	inR, inW int
	readErr  error
	arrived  time.Time
	pass     int  // bytes to come that are yamux's
	lane     int  // bytes to come of a lane's data frame
	served   bool // frames of lanes came since Read waited last
	woken    bool // by wake
}

func newGroupConn(c net.Conn, timeout time.Duration) *groupConn {
	g := &groupConn{Conn: c, timeout: timeout, out: make([]byte, 0, wire.MaxWrite), in: make([]byte, readBuffer)}
	if raw, ok := rawio.New(c); ok {
		g.raw, g.Conn = raw, raw
	}
	g.ready = g.readable
	return g
}

// Write implements the rule above for yamux. What is not a header of a data frame or the body after it goes out as
// it comes.
func (g *groupConn) Write(p []byte) (n int, err error) {
	defer g.recovered(&err)
	if len(g.yhead) == 0 && len(p) == muxHeaderSize && p[1] == muxData && parseMuxHeader(p).length > 0 {
		g.yhead = append(g.yhead, p...)
		return len(p), nil
	}
	if err := g.writeFrame(p); err != nil {
		return 0, g.fail(err)
	}
	if len(p) > muxHeaderSize {
		clear(p) // yamux's own copy of a body, which it does not read again (a test holds it to that)
	}
	if g.lanes != nil {
		g.lanes.resume()
	}
	return len(p), nil
}

// writeFrame writes the header held back and p.
func (g *groupConn) writeFrame(p []byte) error {
	g.w.Lock()
	defer g.w.Unlock()
	if _, err := g.flush(true); err != nil {
		return err
	}
	g.out = append(g.out, g.yhead...)
	g.yhead = g.yhead[:0]
	for len(p) > 0 || len(g.out) > 0 {
		n := min(len(p), wire.MaxWrite-len(g.out))
		g.out = append(g.out, p[:n]...)
		p = p[n:]
		if _, err := g.flush(true); err != nil {
			return err
		}
	}
	return nil
}

// flush writes out and wipes what it wrote. Without wait it may leave a rest, and says so. w is held.
func (g *groupConn) flush(wait bool) (full bool, err error) {
	if len(g.out) == 0 {
		return false, nil
	}
	n := 0
	if g.raw != nil {
		if n, err = g.raw.TryWrite(g.out); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) { // another's, that has just failed for it
				err = ErrWriteTimeout
			}
			return false, err
		}
	}
	if n < len(g.out) && wait {
		if err := g.writeWaiting(g.out[n:]); err != nil {
			return false, err
		}
		n = len(g.out)
	}
	rest := copy(g.out, g.out[n:])
	clear(g.out[rest:])
	g.out = g.out[:rest]
	return rest > 0, nil
}

func (g *groupConn) writeWaiting(b []byte) error {
	if err := g.SetWriteDeadline(time.Now().Add(g.timeout)); err != nil {
		return err
	}
	if _, err := g.Conn.Write(b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrWriteTimeout
		}
		return err
	}
	return g.SetWriteDeadline(time.Time{})
}

// Read gives yamux what is yamux's. What was handed out or handled is wiped before the buffer is filled again.
func (g *groupConn) Read(p []byte) (int, error) {
	if g.begin != nil {
		<-g.begin
		g.begin = nil
	}
	g.lockRead()
	defer g.r.Unlock()
	for {
		if err := g.handle(); err != nil {
			return 0, g.fail(err)
		}
		if n := min(g.pass, g.inW-g.inR); n > 0 {
			n = copy(p, g.in[g.inR:g.inR+n])
			g.inR += n
			g.pass -= n
			clear(p[n:]) // what yamux's buffer held of earlier reads; a reader may use all of p
			return n, nil
		}
		if err := g.more(); err != nil {
			return 0, g.fail(err)
		}
	}
}

// lockRead is how Read takes r.
func (g *groupConn) lockRead() {
	g.wanted.Store(true)
	g.r.Lock()
	g.wanted.Store(false)
}

// recovered turns a panic into the session's end: it is deferred where the library's goroutines, and callers that
// look for their answer, enter this package.
func (g *groupConn) recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	*err = ErrFault
	if g.lanes != nil {
		*err = g.lanes.panicked(v)
	}
}

// handle hands out what has been read, and says what there is to say. r is held.
func (g *groupConn) handle() (err error) {
	defer g.recovered(&err)
	if err := g.dispatch(); err != nil {
		return err
	}
	if g.lanes != nil {
		g.lanes.settle()
	}
	return nil
}

// more waits until more has been read. r is held, but not while it waits.
func (g *groupConn) more() error {
	if g.raw == nil {
		rest := g.compact()
		n, err := g.Conn.Read(g.in[rest:])
		if n <= 0 && err == nil {
			err = io.ErrUnexpectedEOF
		}
		g.filled(n, err)
		return g.readErr
	}
	if g.served && g.linger != nil {
		if more, err := g.lingers(); more || err != nil {
			return err
		}
	}
	g.served = false
	g.r.Unlock()
	err := g.raw.WaitRead(g.ready)
	g.lockRead()
	if g.woken {
		g.woken = false
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		err = errors.Join(err, g.SetReadDeadline(time.Time{}))
	}
	return errors.Join(err, g.readErr)
}

func (g *groupConn) lingers() (more bool, err error) {
	defer g.recovered(&err)
	return g.linger(), nil
}

// wake ends the wait of Read, now or when it comes to wait: what a caller has read of the socket wakes nobody, since
// epoll tells of no arrival that is gone when it looks. r is held.
func (g *groupConn) wake() {
	g.woken = true
	if err := g.SetReadDeadline(time.Unix(1, 0)); err != nil && g.readErr == nil {
		g.readErr = err
	}
}

// readable is called when the socket may have something, without r. It reports whether there is something to do. It
// must not wait for r: Close waits for it, and who holds r may be about to close. Read then takes r, and comes again.
func (g *groupConn) readable() bool {
	if !g.r.TryLock() {
		return true
	}
	defer g.r.Unlock()
	if g.readErr != nil || g.pass > 0 && g.inW > g.inR {
		return true
	}
	return g.fill() || g.readErr != nil
}

// peek reads what there is, without waiting, and handles it, unless another does or it is yamux's turn. What is not
// the lanes' it leaves to Read.
func (g *groupConn) peek() {
	if g.wanted.Load() || !g.r.TryLock() {
		return
	}
	defer g.r.Unlock()
	if g.pass > 0 || g.readErr != nil {
		return
	}
	if g.fill() {
		if err := g.handle(); err != nil {
			g.readErr = g.fail(err)
		}
		g.compact()
	}
	if g.readErr != nil || g.pass > 0 && g.inW > g.inR {
		g.wake()
	}
}

// fill reads what there is without waiting, and reports whether that is anything. r is held.
func (g *groupConn) fill() bool {
	rest := g.compact()
	g.filled(g.raw.TryRead(g.in[rest:]))
	return g.inW > rest
}

// compact wipes what has been handled and moves what is left, of a header, to the front.
func (g *groupConn) compact() (rest int) {
	rest = copy(g.in, g.in[g.inR:g.inW])
	clear(g.in[rest:g.inW])
	g.inR, g.inW = 0, rest
	return rest
}

func (g *groupConn) filled(n int, err error) {
	if n > 0 {
		g.inW += n
		g.arrived = time.Now()
		return
	}
	g.readErr = err
}

// dispatch hands out what is the lanes', until there is something for yamux or too little to go on.
func (g *groupConn) dispatch() error {
	for g.pass == 0 {
		if n := min(g.lane, g.inW-g.inR); n > 0 {
			if err := g.lanes.data(g.in[g.inR:g.inR+n:g.inR+n], g.arrived); err != nil {
				return err
			}
			g.inR += n
			g.lane -= n
		}
		if g.inW-g.inR < muxHeaderSize {
			return nil
		}
		h := parseMuxHeader(g.in[g.inR:g.inW])
		switch {
		case h.version != muxVersion:
			g.pass = math.MaxInt // yamux ends the session
		case !g.isLane(h):
			if err := g.dispatchForeign(h); err != nil {
				return err
			}
		default:
			g.inR += muxHeaderSize
			if err := g.lanes.header(h, g.arrived); err != nil {
				return err
			}
			if h.kind == muxData {
				g.lane, g.served = int(h.length), true
			}
		}
	}
	return nil
}

// dispatchForeign leaves to yamux what is for it to see.
func (g *groupConn) dispatchForeign(h muxHeader) error {
	if g.lanes != nil {
		switch pass, err := g.lanes.foreign(h); {
		case err != nil:
			return err
		case !pass: // a header alone
			g.inR += muxHeaderSize
			return nil
		}
	}
	g.pass = muxHeaderSize
	if h.kind == muxData {
		g.pass += int(h.length)
	}
	return nil
}

func (g *groupConn) isLane(h muxHeader) bool {
	return g.lanes != nil && (h.kind == muxData || h.kind == muxWindow) && g.lanes.owns(h.stream)
}

// fail keeps the first error, which yamux would only log.
func (g *groupConn) fail(err error) error {
	g.cause.CompareAndSwap(nil, &err)
	return err
}

// wipe clears the buffers. Only for use when neither yamux goroutine runs any more, and nothing is queued.
func (g *groupConn) wipe() {
	g.w.Lock()
	clear(g.out[:cap(g.out)])
	g.out = g.out[:0]
	g.w.Unlock()
	g.r.Lock()
	clear(g.in)
	g.inR, g.inW = 0, 0
	g.r.Unlock()
}
