package httpload

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// line is a caller's connection as the loop uses it: a socket that Go's poller does not know, so that an answer wakes
// one thread and not two.
type line struct {
	caller  *caller
	index   int32         // among the loop's lines
	fd      int           // -1: not connected
	request *Request      // nil: none is in flight
	at      time.Duration // when it was due, since the start of the run
	sent    time.Duration
	in      []byte
	unused  bool // no answer has come on this connection
	again   bool // the request in flight was sent before, on another
}

// errClosedUnused reports a connection that ended before the first answer on it: the server had given it up while the
// request was on its way.
var errClosedUnused = errors.New("closed unused")

func (c *line) dial() error {
	addr, err := net.ResolveTCPAddr("tcp", c.caller.conn.endpoint.address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	family, sockaddr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP.To16())})
	if ip := addr.IP.To4(); ip != nil {
		family, sockaddr = unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	err = errors.Join(unix.Connect(fd, sockaddr), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetNonblock(fd, true))
	if err != nil {
		return fmt.Errorf("connect: %w", errors.Join(err, unix.Close(fd)))
	}
	c.fd, c.unused = fd, true
	return nil
}

func (c *line) close() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// send sends the caller's next request.
func (c *line) send() error {
	c.request, c.again = c.caller.pick.next(), false
	return c.transmit()
}

// transmit sends the request. It waits for what the socket does not accept at once.
func (c *line) transmit() error {
	c.in = c.in[:0]
	for rest := c.request.raw; len(rest) > 0; {
		n, err := unix.Write(c.fd, rest)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if err := c.writable(); err != nil {
				return err
			}
		case errors.Is(err, unix.EINTR):
		case c.closedUnused(err):
			return nil // receive says so
		case err != nil:
			return fmt.Errorf("send: %w", err)
		}
		rest = rest[max(0, n):]
	}
	return nil
}

func (c *line) writable() error {
	polled := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(polled, int(answerTimeout.Milliseconds()))
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("send: %w", err)
	case n == 0:
		return errNoAnswer
	}
	return nil
}

// receive reads what has come, and returns the answer when it is complete. The answer is valid until the next send.
func (c *line) receive() (a answered, whole bool, err error) {
	c.in = roomToRead(c.in)
	n, err := unix.Read(c.fd, c.in[len(c.in):cap(c.in)])
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return a, false, nil
	case c.closedUnused(err):
		return a, false, errClosedUnused
	case err != nil:
		return a, false, fmt.Errorf("answer: %w", err)
	}
	c.in, c.unused = c.in[:len(c.in)+n], false
	if a, whole, err = parse(c.in); err != nil {
		return a, false, fmt.Errorf("answer: %w", err)
	}
	return a, whole, nil
}

// closedUnused reports whether err, of reading or writing, means that the request may be sent once more.
func (c *line) closedUnused(err error) bool {
	return c.unused && !c.again &&
		(errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE))
}
