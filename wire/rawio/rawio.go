// Package rawio reads and writes non-blocking sockets for the sessions, with system calls of which the scheduler is
// not told.
//
// A system call that may block makes Go's scheduler prepare to give the processor away. It hands over to a monitor,
// which it wakes with a system call of its own if the process was idle, and afterwards it may have to queue for a
// processor. At one request in flight this costs about as much as the read or the write itself. A call on a socket in
// non-blocking mode never waits, so none of this is needed. Conn tries first. It waits in the runtime's poller, as
// package net does, only if the socket has nothing to read or no room.
package rawio

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Conn is a connection whose descriptor is in non-blocking mode. One goroutine at a time may read and one may write.
// Deadlines and Close are those of the connection below, and may come from any goroutine.
type Conn struct {
	net.Conn
	raw syscall.RawConn

	r, w op
	now  op // a read that does not wait

	ready func(fd uintptr) bool // the function that was passed to WaitRead
}

// op is one direction. Its arguments and results pass through here, so that the callback is made once.
type op struct {
	b    []byte
	n    int
	err  error
	wait bool // wait for the socket, instead of returning with nothing done
	dry  bool // there was nothing to read, or no room
	call func(fd uintptr) bool
	ctl  func(fd uintptr)
}

// New wraps c. It reports false if c has no descriptor, or one that blocks. Then c must be used as it is.
func New(c net.Conn) (*Conn, bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, false
	}
	never := false
	if err = raw.Control(func(fd uintptr) { never = neverWaits(fd) }); err != nil || !never {
		return nil, false
	}
	r := &Conn{Conn: c, raw: raw}
	r.r.call = func(fd uintptr) bool { return r.r.do(read, fd) }
	r.w.call = func(fd uintptr) bool { return r.w.do(write, fd) }
	r.now.ctl = func(fd uintptr) { r.now.do(read, fd) }
	return r, true
}

// do is the callback of RawConn: false makes it wait for the socket and call again.
func (o *op) do(transfer func(uintptr, []byte) (int, error), fd uintptr) bool {
	for {
		n, err := transfer(fd, o.b)
		switch {
		case err == nil:
			o.n = n
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			o.dry = true
			return !o.wait
		default:
			o.err = err
		}
		return true
	}
}

// SyscallConn implements syscall.Conn.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// CloseWrite ends this side's half of the connection. Error: errors.ErrUnsupported if the connection below cannot do
// that.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.r.b, c.r.n, c.r.err, c.r.wait = b, 0, nil, true
	err := c.raw.Read(c.r.call)
	c.r.b = nil
	switch {
	case err != nil:
		return 0, err
	case c.r.err != nil:
		return 0, &net.OpError{Op: "read", Net: "socket", Err: c.r.err}
	case c.r.n == 0:
		return 0, io.EOF
	}
	return c.r.n, nil
}

// TryRead reads what is there at once, which may be nothing: then it returns 0 and no error. Unlike Read it may be
// called while another goroutine is in WaitRead. Only one goroutine at a time may call TryRead or Read.
func (c *Conn) TryRead(b []byte) (int, error) {
	c.now.b, c.now.n, c.now.err, c.now.wait, c.now.dry = b, 0, nil, false, false
	err := c.raw.Control(c.now.ctl)
	c.now.b = nil
	switch {
	case err != nil:
		return 0, err
	case c.now.err != nil:
		return 0, &net.OpError{Op: "read", Net: "socket", Err: c.now.err}
	case c.now.n == 0 && !c.now.dry:
		return 0, io.EOF
	}
	return c.now.n, nil
}

// WaitRead calls ready, and calls it again whenever there may be more to read, until ready returns true or the read
// deadline has passed. ready must be the same function in each call, and may use TryRead. Bytes that another
// goroutine takes by TryRead as they come do not wake WaitRead.
func (c *Conn) WaitRead(ready func() bool) error {
	if c.ready == nil {
		c.ready = func(uintptr) bool { return ready() }
	}
	return c.raw.Read(c.ready)
}

// TryWrite writes what the socket takes at once, which may be nothing.
func (c *Conn) TryWrite(b []byte) (int, error) { return c.write(b, false) }

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := c.write(b[done:], true)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *Conn) write(b []byte, wait bool) (int, error) {
	c.w.b, c.w.n, c.w.err, c.w.wait = b, 0, nil, wait
	err := c.raw.Write(c.w.call)
	c.w.b = nil
	switch {
	case err != nil:
		return 0, err
	case c.w.err != nil:
		return 0, &net.OpError{Op: "write", Net: "socket", Err: c.w.err}
	}
	return c.w.n, nil
}

// Listener returns accepted connections as Conn if they can be one, and otherwise as they are.
type Listener struct{ net.Listener }

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if r, ok := New(c); ok {
		return r, nil
	}
	return c, nil
}
