package transport

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// This file is for simulations: there is no vsock, and a socket is no file.

type (
	vsockSocket     any
	privilegedPorts struct{}
)

var ports = &privilegedPorts{}

func openVsock() (vsockSocket, error) { return nil, errors.ErrUnsupported }

func (d *Dialer) dialVsock(context.Context) (net.Conn, error) { return nil, errors.ErrUnsupported }

func listenVsock(uint32, uint32) (net.Listener, error) { return nil, errors.ErrUnsupported }

func vsockPeer(net.Addr) (cid, port uint32, ok bool) { return 0, 0, false }

func ownersOnly(string, string, syscall.RawConn) error { return nil }
