package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is the enclave's end of a session: its beginning and its drain. The counters are atomic.

// Server is the enclave's side of a session. All methods are safe for concurrent use.
type Server struct {
	base
	cfg     ServerConfig
	answers sync.Pool

	inFlight atomic.Int64
	idle     chan struct{}
	lanes    atomic.Int32 // that are open
	opening  atomic.Int32 // egress streams

	ctl serverControl
}

// NewServer makes a session of conn: it exchanges hellos, then accepts lanes and serves them until the session ends.
// It owns conn from now on, and closes it also when it fails. ctx bounds only the exchange of hellos.
// Errors: ErrHello, ErrVersion, ErrProtocol, ErrConfig, or the context's.
func NewServer(ctx context.Context, conn net.Conn, cfg ServerConfig) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Server{cfg: cfg, idle: make(chan struct{}, 1)}
	s.answers.New = func() any { return new(answer) }
	s.init(conn, &s.cfg.Config, mux.Config{
		Accept: s.accept, Idle: s.idleNow, Check: s.check, OnPanic: s.cfg.Handler.Panicked,
		Alone: func() bool { return s.inFlight.Load() <= aloneCalls },
	}, s.greet)
	s.control.in.handle = s.handleControl
	s.conn.Await(s.control.st, &s.control)
	s.conn.Go(s.control.work(s.Ended()))
	s.conn.Go(s.library.run(awaitEnd))
	if err := s.meet(ctx, &s.cfg.Config); err != nil {
		return nil, err
	}
	return s, nil
}

// idleNow reports whether nothing is to be done but to wait for requests.
func (s *Server) idleNow() bool {
	return s.inFlight.Load() == 0 && (s.cfg.Idle == nil || s.cfg.Idle())
}

// greet takes the parent's hello and answers it. The answer is sent also when no version fits, so that the peer can
// tell why: it ends the session when it has read it.
func (s *Server) greet(m *wire.Hello) error {
	err := s.agree(&s.cfg.Hello, m)
	if _, perr := s.control.q.push(wire.Header{Kind: wire.KindHello}, s.cfg.Hello.Append(nil)); perr != nil {
		return perr
	}
	switch {
	case errors.Is(err, ErrVersion):
		s.refusal = err
		s.conn.Move(mux.Greeted)
	case err != nil:
		return err
	default:
		s.ctl.lastPing.Store(mux.Ticks(time.Now()))
		s.conn.Move(mux.Open)
	}
	return nil
}

// check ends the session of a parent that shows no sign of life.
func (s *Server) check(now time.Time) error {
	if mux.Stuck(&s.ctl.lastPing, now, s.cfg.IdleTimeout) {
		return ErrLiveness
	}
	return nil
}

// left counts a request that has been answered.
func (s *Server) left() {
	if s.inFlight.Add(-1) == 0 && s.conn.Drained() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// InFlight is the number of requests that have not been answered.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// Drain tells the parent to send no more, answers late comers with wire.ShuttingDown, waits until all requests are
// answered and written or ctx ends, and closes. It returns ctx's error when requests were cut off.
func (s *Server) Drain(ctx context.Context) error {
	if s.conn.Move(mux.Draining) {
		m := wire.GoAway{Code: wire.ShuttingDown}
		_, _ = s.control.q.push(wire.Header{Kind: wire.KindGoAway}, m.Append(nil)) // the session may have ended
	}
	var err error
	for err == nil && s.inFlight.Load() > 0 && s.Err() == nil {
		select {
		case <-s.idle:
		case <-s.Ended():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		// The client closes when it has all its answers. One that does not is left after a while.
		grace, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
		defer cancel()
		select {
		case <-s.Ended():
		case <-grace.Done():
		}
	}
	return errors.Join(err, s.Close())
}
