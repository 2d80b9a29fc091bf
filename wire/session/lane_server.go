package session

import (
	"errors"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is a lane of the enclave's. Its fields belong to the reading goroutine of mux, which never waits. Any
// goroutine may say an answer.

// serverLane is a server's side of a stream of pipelined requests. Its reader never writes: answers go to the queue.
type serverLane struct {
	framed
	server *Server
	batch  bool
	req    Request

	pre    []byte       // the preamble, as far as it has come; nil: it has
	opened atomic.Int64 // since when the preamble is awaited, in ticks; 0: it has come
}

// accept takes a stream that the parent opens. One that has not said what it is counts as a lane, so that those are
// bounded too.
func (s *Server) accept(st *mux.Stream) (mux.Handler, error) {
	if uint32(s.lanes.Add(1)) > s.cfg.Hello.MaxLanes {
		return nil, ErrProtocol
	}
	l := &serverLane{framed: newLane(st, &s.cfg.Config, int(s.cfg.Hello.MaxInFlight)), server: s}
	l.in.handle, l.in.refused = l.handle, l.noRoom
	l.pre = make([]byte, 0, preambleSize)
	l.opened.Store(mux.Ticks(time.Now()))
	return l, nil
}

// Data implements mux.Handler.
func (l *serverLane) Data(b []byte, at time.Time) error {
	if l.pre != nil {
		n := min(preambleSize-len(l.pre), len(b))
		l.pre = append(l.pre, b[:n]...)
		if b = b[n:]; len(l.pre) < preambleSize {
			return nil
		}
		if known, err := l.begin(); !known || err != nil {
			return err
		}
	}
	return l.framed.Data(b, at)
}

// begin looks at what the stream says that it is. One of a newer parent's is closed.
func (l *serverLane) begin() (known bool, err error) {
	t, err := parsePreamble(l.pre)
	l.pre = nil
	l.opened.Store(0)
	if err != nil {
		return false, err
	}
	l.batch = t == streamBatch
	if l.batch || t == streamLane {
		return true, nil
	}
	l.server.lanes.Add(-1)
	l.st.Refuse()
	return false, l.server.countUnknown()
}

// Check implements mux.Handler.
func (l *serverLane) Check(now time.Time) error {
	if mux.Stuck(&l.opened, now, l.cfg.HelloTimeout) {
		return ErrProtocol
	}
	return l.framed.Check(now)
}

// handle takes one request on the lane's reader.
func (l *serverLane) handle(h wire.Header, body []byte, owned bool) error {
	s := l.server
	known := s.takes(h.Kind)
	if code := l.refuse(known); code != wire.OK {
		if owned {
			putBuffer(body)
		}
		m := wire.ErrorBody{Code: code}
		var room [maxErrorBody]byte
		if err := l.say(wire.KindError, h.ID, m.Append(room[:0])); err != nil {
			return err
		}
		if !known {
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
	l.server.conn.Fail(ErrOverflow)
	return ErrOverflow
}

// takes reports whether a request of that kind may come on this session.
func (s *Server) takes(k wire.Kind) bool {
	needs, ok := k.LaneRequest()
	return ok && s.features.Has(needs)
}

// refuse counts the request in, or says why it is not taken.
func (l *serverLane) refuse(known bool) wire.Code {
	s := l.server
	if !known {
		return wire.BadRequest
	}
	if s.inFlight.Add(1) > int64(s.cfg.Hello.MaxInFlight) {
		s.left()
		return wire.Overloaded
	}
	if s.conn.Drained() {
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
