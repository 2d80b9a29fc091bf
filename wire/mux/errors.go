package mux

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Why a connection ended. Handlers may end it for reasons of their own beside these.
var (
	// ErrClosed: the session was closed by this side, or the peer closed the connection.
	ErrClosed = errors.New("session is closed")
	// ErrProtocol: the peer broke the protocol.
	ErrProtocol = errors.New("peer broke the protocol")
	// ErrWriteTimeout: a write to the connection, or to a stream, made no progress in time.
	ErrWriteTimeout = errors.New("write to the connection timed out")
	// ErrOverflow: the peer reads too slowly, a bounded queue of answers overflowed.
	ErrOverflow = errors.New("queue of answers overflowed")
	// ErrFault: this side panicked while it handled what came; it is a defect of this side, or of one of its callbacks.
	ErrFault = errors.New("session ended by a fault of this side")
)

// closedBy maps an error of the connection below to one of this package's.
func closedBy(err error) error {
	switch {
	case errors.Is(err, ErrWriteTimeout):
		return ErrWriteTimeout
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return ErrClosed
	}
	var sys *net.OpError
	if errors.As(err, &sys) || errors.As(err, new(syscall.Errno)) {
		return errors.Join(ErrClosed, err)
	}
	return err
}
