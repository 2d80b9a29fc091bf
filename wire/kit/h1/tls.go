package h1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// TLSListener does the handshakes of a net/http server. Only after the handshake is it known what is spoken: HTTP/1
// is followed by a Scanner, HTTP/2 goes to the server as it is.
type TLSListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration

	ready  chan net.Conn
	failed chan error
	stop   context.CancelFunc
	start  sync.Once
	ctx    context.Context //nolint:containedctx // the listener's own life
}

// NewTLSListener serves ln with config. A handshake that takes longer than timeout ends its connection.
func NewTLSListener(ln net.Listener, config *tls.Config, timeout time.Duration) *TLSListener {
	ctx, stop := context.WithCancel(context.Background())
	return &TLSListener{
		Listener: ln, config: config, timeout: timeout,
		ready: make(chan net.Conn), failed: make(chan error, 1), ctx: ctx, stop: stop,
	}
}

// Accept returns the next connection whose handshake has succeeded.
func (l *TLSListener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.run() })
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		l.failed <- err
		return nil, err
	}
}

// Close closes the listener and ends handshakes.
func (l *TLSListener) Close() error {
	l.stop()
	return l.Listener.Close()
}

func (l *TLSListener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			l.failed <- err
			return
		}
		go l.shake(tls.Server(c, l.config))
	}
}

func (l *TLSListener) shake(t *tls.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	if t.HandshakeContext(ctx) != nil {
		_ = t.Close()
		return
	}
	var c net.Conn = t
	if t.ConnectionState().NegotiatedProtocol != "h2" {
		c = &tlsConn{Conn: connOf(t), state: t.ConnectionState()}
	}
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		_ = c.Close()
	}
}

// tlsConn gives net/http the TLS state of a Conn, for Request.TLS.
type tlsConn struct {
	Conn
	state tls.ConnectionState
}

// ConnectionState is the connection's TLS state.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.state }
