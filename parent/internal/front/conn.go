package front

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/secret"
)

// conn is a client's connection as fasthttp sees it. It wipes what has been written, so that neither fasthttp's
// pooled write buffer nor a large body that passes through keeps plaintext. If a request was not read to its end, it
// lingers on close, so that the client sees the answer instead of a reset (RFC 9112, section 9.6). The registry ends
// connections that look idle. conn makes sure that it does not end one on which a request has come.
type conn struct {
	net.Conn
	tls      *tls.Conn // nil on a plain listener
	registry *registry

	mu      sync.Mutex
	busy    bool // a request is being served, as fasthttp sees it
	waiting bool // the goroutine that serves the connection is in Read
	asked   bool // bytes of a request were read since it was last busy
	used    bool // bytes were ever read
	ended   bool // Read has failed
	evicted bool // the registry wants it closed

	// secret and linger are set by the goroutine that serves the connection, the only one that writes to it.
	secret bool
	linger int64 // bytes that may be read and dropped before the connection is closed; 0: close at once

	scan h1.Scanner // of the goroutine that reads

	// The registry uses these fields. Until a handler has begun, a request counts as still on its way.
	known   atomic.Bool
	serving atomic.Bool
	since   atomic.Int64 // when the last request began, or the connection: nanoseconds since 1970
	leaving atomic.Bool  // the registry has asked it to end, to make room
}

// lingerMore is how much of a request that was too large is dropped beyond its limit: a single request is read up to
// 2 MiB. lingerTime bounds the time for it.
const (
	lingerMore = 1 << 20
	lingerTime = 5 * time.Second
)

// Write writes p. On a connection that has carried a secret it then overwrites p: p is always either fasthttp's write
// buffer, whose content is no longer needed once written, or an answer's own buffer.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.secret {
		secret.Wipe(p)
	}
	return n, err
}

// Read passes only requests that have one reading. fasthttp alone would accept more.
func (c *conn) Read(p []byte) (int, error) {
	if c.scan.Refused() {
		return c.scan.Rest(p)
	}
	n, err := c.receive(p)
	return c.scan.Filter(p, n, err)
}

// receive reads, and records what evict has to know.
func (c *conn) receive(p []byte) (int, error) {
	c.mu.Lock()
	c.waiting = true
	leave := c.evicted && !c.busy
	c.mu.Unlock()
	n, err := 0, net.ErrClosed
	if !leave {
		n, err = c.Conn.Read(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.evicted && !c.busy {
		c.mu.Unlock()
		n, err = c.last(p, n, err)
		c.mu.Lock()
	}
	// This is set at once, so that evict sees either a goroutine that waits or a request that has come.
	c.waiting, c.evicted = false, false
	c.asked = c.asked || n > 0 && !c.busy
	c.used = c.used || n > 0
	c.ended = err != nil
	if !c.used && errors.Is(err, os.ErrDeadlineExceeded) {
		err = net.ErrClosed // no answer without a request: a client's pool would take it for the answer to its next request
	}
	return n, err
}

// last ends a Read that evict has interrupted. What the client had sent by then is a request like any other.
func (c *conn) last(p []byte, n int, err error) (int, error) {
	if n == 0 && !pending(c.Conn) {
		return 0, net.ErrClosed
	}
	c.leaving.Store(false)
	if derr := c.SetReadDeadline(time.Now().Add(lingerTime)); derr != nil || n > 0 {
		return n, err
	}
	return c.Conn.Read(p)
}

// connState is fasthttp's hook: a connection is busy from StateActive to StateIdle. A connection that becomes idle
// while the server shuts down is evicted here, since drain has passed it by.
func connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok || state != fasthttp.StateActive && state != fasthttp.StateIdle {
		return
	}
	c.mu.Lock()
	c.busy, c.asked = state == fasthttp.StateActive, false
	c.evicted = c.evicted || !c.busy && c.registry.draining.Load()
	c.serving.Store(false)
	c.mu.Unlock()
}

// evict ends a connection that looks idle. The connection's own goroutine checks whether a request has come, serves
// it if so, and closes. fasthttp takes a connection for idle a little longer than it is.
func (c *conn) evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy || c.ended || c.asked || c.evicted {
		return // it closes after the answer, or is about to
	}
	c.evicted = true
	if c.waiting {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
	}
}

// Close closes the connection. It lingers first if lingering was called.
func (c *conn) Close() error {
	c.serving.Store(false)
	if c.linger > 0 && !c.leaving.Load() {
		c.drain()
	}
	c.registry.remove(c)
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

// peer is the client's certified name, and "" if it showed no certificate. The handshake is over by the time a
// request is handled.
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
	registry *registry
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, registry: l.registry}
		if l.config != nil {
			c.tls = tls.Server(nc, l.config)
			c.Conn = c.tls
		}
		if l.registry.admit(c) {
			return c, nil
		}
		c.turnAway()
	}
}

const turnedAway = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n" +
	"Content-Length: 0\r\n\r\n"

// turnAway refuses a connection for which there is no room. Over TLS it sends nothing, since a handshake would take
// time.
func (c *conn) turnAway() {
	if c.tls == nil {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a new socket has room for it
		_, _ = io.WriteString(c.Conn, turnedAway)
	}
	_ = socket(c.Conn).Close()
}
