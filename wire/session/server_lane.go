package session

import (
	"errors"
	"time"

	"redoubt/wire"
)

// serverLane is a server's side of a stream of pipelined requests. Its reader never writes: answers go to the queue.
type serverLane struct {
	*laneStream
	server *Server
	batch  bool
	req    Request
}

// handle takes one request on the lane's reader.
func (l *serverLane) handle(h wire.Header, body []byte, owned bool) error {
	s := l.server
	if code := l.refuse(h); code != wire.OK {
		if owned {
			putBuffer(body)
		}
		m := wire.ErrorBody{Code: code}
		var room [maxErrorBody]byte
		if err := l.say(wire.KindError, h.ID, m.Append(room[:0])); err != nil {
			return err
		}
		if h.Kind != wire.KindDecrypt {
			return s.countUnknown()
		}
		return nil
	}
	a := s.answers.Get().(*answer) //nolint:forcetypeassert // the pool holds nothing else
	a.id = h.ID
	if owned {
		if a.body != nil {
			putBuffer(a.body)
		}
		a.body, a.owned = body, true
	}
	l.req = Request{
		Kind: h.Kind, Batch: l.batch, Arrived: l.in.arrived, Body: body,
		Responder: Responder{a: a, lane: l, use: a.uses.Load()},
	}
	if h.DeadlineMS != 0 {
		l.req.Deadline = l.in.arrived.Add(time.Duration(h.DeadlineMS) * time.Millisecond)
	}
	l.serve()
	return nil
}

// retryQueueFull is when a caller should come again whose answer had no room.
const retryQueueFull = 100 * time.Millisecond

// noRoom answers a request that was too long for what is left of the budget.
func (l *serverLane) noRoom(h wire.Header) error {
	m := wire.ErrorBody{Code: wire.Overloaded, RetryAfterMS: uint32(retryQueueFull.Milliseconds())}
	var room [maxErrorBody]byte
	return l.say(wire.KindError, h.ID, m.Append(room[:0]))
}

// say queues an answer. One that has no room becomes an error, which says so to its own caller and to no other:
// ErrQueueFull. Errors find room for as many requests as may be in flight; only a peer that asks on and on without
// reading can use that up, and loses the session: ErrOverflow.
func (l *serverLane) say(kind wire.Kind, id uint64, body []byte) error {
	_, err := l.q.push(wire.Header{Kind: kind, ID: id}, body)
	if !errors.Is(err, ErrQueueFull) {
		return err
	}
	if kind != wire.KindError {
		m := wire.ErrorBody{Code: wire.Overloaded, RetryAfterMS: uint32(retryQueueFull.Milliseconds())}
		var room [maxErrorBody]byte
		if _, err := l.q.push(wire.Header{Kind: wire.KindError, ID: id}, m.Append(room[:0])); err == nil {
			return ErrQueueFull
		}
	}
	l.server.fail(ErrOverflow)
	return ErrOverflow
}

// refuse counts the request in, or says why it is not taken.
func (l *serverLane) refuse(h wire.Header) wire.Code {
	s := l.server
	if h.Kind != wire.KindDecrypt {
		return wire.BadRequest
	}
	if s.inFlight.Add(1) > int64(s.cfg.Hello.MaxInFlight) {
		s.left()
		return wire.Overloaded
	}
	if s.draining.Load() {
		s.left()
		return wire.ShuttingDown
	}
	return wire.OK
}

// serve calls the handler. A request whose handler panicked is answered; its memory is not used again, for
// whoever the handler gave it to may still have it.
func (l *serverLane) serve() {
	defer func() {
		if v := recover(); v != nil {
			_ = l.req.Responder.fail(wire.Internal, 0, false) // it may be answered already
			l.server.panicked(v)
		}
	}()
	l.server.cfg.Handler.Request(&l.req)
}

// panicked tells the handler of a panic of its own.
func (s *Server) panicked(v any) {
	defer func() { _ = recover() }()
	s.cfg.Handler.Panicked(v)
}
