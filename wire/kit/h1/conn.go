package h1

import (
	"context"
	"net"
)

// Conn is a connection of net/http's server whose requests a Scanner follows. Like a connection of net/http it is
// read by one goroutine at a time.
type Conn struct {
	net.Conn
	scan Scanner

	gone  context.Context //nolint:containedctx // ends when the peer has left
	leave context.CancelFunc
}

// NewConn follows everything that is read from c, from its first byte on.
func NewConn(c net.Conn) *Conn {
	of := connOf(c)
	return &of
}

func connOf(c net.Conn) Conn {
	gone, leave := context.WithCancel(context.Background())
	return Conn{Conn: c, gone: gone, leave: leave}
}

// peer is a context that ends when the peer is known to read no more.
func (c *Conn) peer() context.Context { return c.gone }

// NetConn is the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Close closes the connection.
func (c *Conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// Read reads. From a refused line on it fails with ErrMalformed.
func (c *Conn) Read(p []byte) (int, error) {
	if c.scan.Refused() {
		return c.scan.Rest(p)
	}
	n, err := c.Conn.Read(p)
	if err != nil && reset(err) {
		c.leave()
	}
	return c.scan.Filter(p, n, err)
}

// CloseWrite ends our side, so that the peer reads the answer before the connection is closed.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Listener makes each accepted connection a Conn. It is for plain HTTP: see TLSListener.
type Listener struct{ net.Listener }

// Accept waits for a connection.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return NewConn(c), nil
}
