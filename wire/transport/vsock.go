//go:build !wasip1

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/socket"
	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// listenVsock listens on a port of this machine.
func listenVsock(cid, port uint32) (net.Listener, error) {
	return vsock.ListenContextID(cid, port, nil)
}

// vsockPeer returns a peer's numbers. ok is false if the address is not a vsock address.
func vsockPeer(addr net.Addr) (cid, port uint32, ok bool) {
	a, ok := addr.(*vsock.Addr)
	if !ok {
		return 0, 0, false
	}
	return a.ContextID, a.Port, true
}

// vsockSocket is the part of a socket that a dial uses. *socket.Conn implements it.
type vsockSocket interface {
	io.ReadWriteCloser
	syscall.Conn
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Bind(sa unix.Sockaddr) error
	Connect(ctx context.Context, sa unix.Sockaddr) (unix.Sockaddr, error)
	Getsockname() (unix.Sockaddr, error)
}

func openVsock() (vsockSocket, error) {
	s, err := socket.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0, "vsock", nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// privilegedPorts hands out the ports to try. Each is the one below the last, from 1023 down to 1 and round again. So
// a port that was just given up is tried last: the peer's kernel may still know its old connection, and then does not
// answer a new one from that port.
type privilegedPorts struct{ taken atomic.Uint32 }

func (p *privilegedPorts) next() uint32 { return maxPrivileged - (p.taken.Add(1)-1)%maxPrivileged }

// ports are the process's own. A process that starts again does not begin where the one before did.
var ports = func() *privilegedPorts {
	p := new(privilegedPorts)
	p.taken.Store(rand.Uint32N(maxPrivileged)) //nolint:gosec // no secret
	return p
}()

// bind binds s to a free privileged port. Errors: ErrPrivilege, ErrPorts, or the system's.
func (p *privilegedPorts) bind(s vsockSocket) error {
	for range maxPrivileged {
		err := s.Bind(&unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: p.next()})
		switch {
		case errors.Is(err, unix.EADDRINUSE):
			continue
		case errors.Is(err, unix.EACCES):
			return fmt.Errorf("%w: %w", ErrPrivilege, err)
		}
		return err
	}
	return ErrPorts
}

func (d *Dialer) dialVsock(ctx context.Context) (net.Conn, error) {
	s, err := d.open()
	if err != nil {
		return nil, err
	}
	c, err := d.connectVsock(ctx, s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return c, nil
}

func (d *Dialer) connectVsock(ctx context.Context, s vsockSocket) (net.Conn, error) {
	if d.ports != nil {
		if err := d.ports.bind(s); err != nil {
			return nil, err
		}
	}
	if _, err := s.Connect(ctx, &unix.SockaddrVM{CID: d.addr.cid, Port: d.addr.port}); err != nil {
		return nil, err
	}
	sa, err := s.Getsockname()
	if err != nil {
		return nil, err
	}
	c := &vsockConn{s: s, remote: &vsock.Addr{ContextID: d.addr.cid, Port: d.addr.port}, local: &vsock.Addr{}}
	if vm, ok := sa.(*unix.SockaddrVM); ok {
		c.local = &vsock.Addr{ContextID: vm.CID, Port: vm.Port}
	}
	return c, nil
}

// vsockConn is a net.Conn over a socket that we connected. Errors are those of package net, as mdlayher/vsock's are.
type vsockConn struct {
	s             vsockSocket
	local, remote *vsock.Addr
}

func (c *vsockConn) Read(b []byte) (int, error) {
	n, err := c.s.Read(b)
	return n, c.failed("read", err)
}

func (c *vsockConn) Write(b []byte) (int, error) {
	n, err := c.s.Write(b)
	return n, c.failed("write", err)
}

func (c *vsockConn) Close() error                  { return c.failed("close", c.s.Close()) }
func (c *vsockConn) LocalAddr() net.Addr           { return c.local }
func (c *vsockConn) RemoteAddr() net.Addr          { return c.remote }
func (c *vsockConn) SetDeadline(t time.Time) error { return c.failed("set", c.s.SetDeadline(t)) }

func (c *vsockConn) SetReadDeadline(t time.Time) error {
	return c.failed("set", c.s.SetReadDeadline(t))
}

func (c *vsockConn) SetWriteDeadline(t time.Time) error {
	return c.failed("set", c.s.SetWriteDeadline(t))
}

// SyscallConn implements syscall.Conn, which package rawio needs.
func (c *vsockConn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.s.SyscallConn()
	if err != nil {
		return nil, c.failed("syscall-conn", err)
	}
	return vsockRaw{c, raw}, nil
}

type vsockRaw struct {
	c   *vsockConn
	raw syscall.RawConn
}

func (r vsockRaw) Control(f func(fd uintptr)) error {
	return r.c.failed("raw-control", r.raw.Control(f))
}

func (r vsockRaw) Read(f func(fd uintptr) (done bool)) error {
	return r.c.failed("raw-read", r.raw.Read(f))
}

func (r vsockRaw) Write(f func(fd uintptr) (done bool)) error {
	return r.c.failed("raw-write", r.raw.Write(f))
}

// failed turns the error of a system call into that of a net.Conn. A connection that its peer has ended reads as
// io.EOF.
func (c *vsockConn) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err // the path is not a file's
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.ENOTCONN):
		return io.EOF
	case errors.Is(err, os.ErrClosed), errors.Is(err, unix.EBADF), strings.Contains(err.Error(), "use of closed"):
		err = net.ErrClosed // a raw connection's error has that text but no type
	}
	return &net.OpError{Op: op, Net: "vsock", Source: c.local, Addr: c.remote, Err: err}
}
