package session

import (
	"errors"

	"redoubt/wire/mux"
)

// Why a session ended, or an operation on it failed. Match with errors.Is; a [CallError] wraps one of them.
var (
	// ErrClosed: the session was closed by this side, or the peer closed the connection.
	ErrClosed = mux.ErrClosed
	// ErrDraining: this side or the peer takes no new requests on this session.
	ErrDraining = errors.New("session is draining")
	// ErrProtocol: the peer broke the protocol.
	ErrProtocol = mux.ErrProtocol
	// ErrVersion: the peers have no protocol version in common.
	ErrVersion = errors.New("no protocol version in common")
	// ErrHello: the peer did not complete the hello in time.
	ErrHello = errors.New("hello did not complete")
	// ErrLiveness: the peer did not answer a ping, or sent none, in time.
	ErrLiveness = errors.New("peer shows no sign of life")
	// ErrWriteTimeout: a write to the connection did not end in time.
	ErrWriteTimeout = mux.ErrWriteTimeout
	// ErrOverflow: the peer reads too slowly, a bounded queue of answers overflowed.
	ErrOverflow = mux.ErrOverflow
	// ErrFault: this side panicked while it handled what came; it is a defect of this side, or of one of its callbacks.
	ErrFault = mux.ErrFault
	// ErrInFlight: the limit of requests in flight is reached.
	ErrInFlight = errors.New("too many requests in flight")
	// ErrQueueFull: the bounded queue of bytes to write is full.
	ErrQueueFull = errors.New("write queue is full")
	// ErrTooLarge: a message is longer than the peer takes.
	ErrTooLarge = errors.New("message is too large")
	// ErrUnsupported: the peer did not announce the feature.
	ErrUnsupported = errors.New("peer lacks the feature")
	// ErrAnswered: the request has been answered already.
	ErrAnswered = errors.New("request is already answered")
	// ErrRefused: the parent refused to connect an egress stream.
	ErrRefused = errors.New("egress refused")
	// ErrUnreachable: the parent could not connect an egress stream.
	ErrUnreachable = errors.New("egress target unreachable")
	// ErrConfig: a configuration has a value out of range.
	ErrConfig = errors.New("configuration out of range")
)

// ErrNotSent and ErrSentUnknown tell the two ways in which a call fails without an answer. Each [CallError] matches
// exactly one of them with errors.Is.
var (
	// ErrNotSent: no byte of the request reached the connection; it is safe to send it again elsewhere.
	ErrNotSent = errors.New("request was not sent")
	// ErrSentUnknown: the request, or part of it, may have reached the peer; its outcome is unknown. Only what is
	// idempotent may be sent again.
	ErrSentUnknown = errors.New("request was sent, its outcome is unknown")
)

// CallError is the failure of a call that got no answer.
type CallError struct {
	// Sent is false when it is certain that the peer got nothing of the request.
	Sent bool
	// Err is context.DeadlineExceeded, context.Canceled or one of this package's errors.
	Err error
}

func (e *CallError) Error() string {
	if e.Sent {
		return ErrSentUnknown.Error() + ": " + e.Err.Error()
	}
	return ErrNotSent.Error() + ": " + e.Err.Error()
}

// Unwrap gives the cause and one of [ErrNotSent], [ErrSentUnknown].
func (e *CallError) Unwrap() []error {
	if e.Sent {
		return []error{e.Err, ErrSentUnknown}
	}
	return []error{e.Err, ErrNotSent}
}
