package front

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"redoubt/wire/secret"
)

// conn is a client's connection as fasthttp sees it. It wipes what has been written, so that neither fasthttp's pooled
// write buffer nor a large body handed through keeps plaintext; it lingers on close when a request was not read to
// its end, so that the client sees the answer instead of a reset (RFC 9112, section 9.6); and Shutdown, which closes
// connections that look idle, cannot close it when a request has come.
type conn struct {
	net.Conn
	tls      *tls.Conn // nil on a plain listener
	draining *atomic.Bool

	mu      sync.Mutex
	busy    bool // a request is being served, as fasthttp sees it
	waiting bool // the goroutine that serves the connection is in Read
	asked   bool // bytes of a request were read since it was last busy
	ended   bool // Read has failed
	evicted bool // Shutdown wants it closed and has interrupted Read

	// secret and linger are set by the goroutine that serves the connection, the only one that writes to it.
	secret bool
	linger int64 // bytes that may be read and dropped before the connection is closed; 0: close at once
}

// lingerMore is what is dropped of a request that was too large, beyond what it might have been: a single request is
// read up to 2 MiB. lingerTime bounds the time for it.
const (
	lingerMore = 1 << 20
	lingerTime = 5 * time.Second
)

// Write writes p and then, on a connection that has carried a secret, overwrites it: p is always either fasthttp's
// write buffer, whose content is spent once written, or an answer's own buffer.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.secret {
		secret.Wipe(p)
	}
	return n, err
}

// Read reads, and keeps in mind what evict has to know.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.waiting = true
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.evicted && !c.busy {
		c.mu.Unlock()
		n, err = c.last(p, n, err)
		c.mu.Lock()
	}
	// At once, so that evict sees either a goroutine that waits or a request that has come.
	c.waiting, c.evicted = false, false
	c.asked = c.asked || n > 0 && !c.busy
	c.ended = err != nil
	return n, err
}

// last ends a Read that evict has interrupted. What the client had sent by then is a request like any other.
func (c *conn) last(p []byte, n int, err error) (int, error) {
	if n == 0 && !pending(c.Conn) {
		return 0, net.ErrClosed
	}
	if derr := c.SetReadDeadline(time.Now().Add(lingerTime)); derr != nil || n > 0 {
		return n, err
	}
	return c.Conn.Read(p)
}

// connState is fasthttp's hook. It takes a connection for idle, and lets Shutdown close it, until StateActive and from
// StateIdle on.
func connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok || state != fasthttp.StateActive && state != fasthttp.StateIdle {
		return
	}
	c.mu.Lock()
	c.busy, c.asked = state == fasthttp.StateActive, false
	c.mu.Unlock()
}

// evict reports whether the connection's own goroutine will close it: it is Shutdown that closes, not that goroutine,
// and either a request has come, or the goroutine still has to look whether one has.
func (c *conn) evict() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining.Load() || c.busy || c.ended || !c.asked && !c.waiting {
		return false
	}
	if c.waiting && !c.evicted {
		c.evicted = true
		return c.SetReadDeadline(time.Unix(1, 0)) == nil
	}
	return true
}

// Close closes the connection, lingering first when that was asked for.
func (c *conn) Close() error {
	if c.evict() {
		return nil
	}
	if c.linger > 0 {
		c.drain()
	}
	return c.Conn.Close()
}

// drain ends our side and drops what the client still sends.
func (c *conn) drain() {
	limit := c.linger
	c.linger = 0
	below := c.Conn
	if c.tls == nil {
		below = socket(below)
	}
	half, ok := below.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.Conn, limit)
}

// socket is the connection below TLS and the PROXY protocol.
func socket(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(interface{ Raw() net.Conn }); ok {
		c = p.Raw()
	}
	return c
}

// pending reports whether the kernel holds bytes that the client has sent and nobody has read: FIONREAD of
// ioctl_list(2).
func pending(c net.Conn) bool {
	s, ok := socket(c).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}

// peer is the client's certified name, "" when it showed no certificate. The handshake is over by the time a request
// is handled.
func (c *conn) peer() string {
	if c.tls == nil {
		return ""
	}
	certs := c.tls.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return ""
	}
	return peerName(certs[0])
}

// listener wraps accepted connections.
type listener struct {
	net.Listener
	config   *tls.Config // nil for plain
	draining *atomic.Bool
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.config == nil {
		return &conn{Conn: c, draining: l.draining}, nil
	}
	t := tls.Server(c, l.config)
	return &conn{Conn: t, tls: t, draining: l.draining}, nil
}
