package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// Server is the enclave's side of a session. All methods are safe for concurrent use.
type Server struct {
	*mux
	cfg     ServerConfig
	answers sync.Pool

	inFlight atomic.Int64
	draining atomic.Bool
	idle     chan struct{}
	lanesN   atomic.Int32
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
	m := newMux(conn, &cfg.Config, false)
	s := &Server{mux: m, cfg: cfg, idle: make(chan struct{}, 1)}
	s.answers.New = func() any { return new(answer) }
	m.onOpen, m.onBegin = s.openLane, s.beginLane
	m.alone = func() bool { return s.inFlight.Load() <= aloneCalls }
	fill := m.conn.fill
	m.conn.linger = func() bool { return s.idleNow() && m.poll(requestPatience, fill) }
	m.onPanic = cfg.Handler.Panicked
	if err := m.meet(ctx, &cfg.Config, s.greet, s.start); err != nil {
		return nil, err
	}
	return s, nil
}

// idleNow reports whether nothing is to be done but to wait for requests.
func (s *Server) idleNow() bool {
	return s.inFlight.Load() == 0 && (s.cfg.Idle == nil || s.cfg.Idle())
}

// greet takes the control stream and exchanges hellos. The answer is sent also when no version fits, so that the peer
// can tell why.
func (s *Server) greet() error {
	st, err := s.ys.AcceptStream()
	if err != nil {
		return errors.Join(ErrClosed, err)
	}
	t, err := readPreamble(st)
	if err != nil {
		return err
	}
	if t != streamControl {
		return ErrProtocol
	}
	if s.peer, err = readHello(st); err != nil {
		return err
	}
	agreed := s.agree(&s.cfg.Hello)
	if err := writeHello(st, 0, &s.cfg.Hello); err != nil && agreed == nil {
		return err
	}
	if agreed != nil {
		// yamux drops what it has not sent when it is closed; the peer ends the session when it has read the hello,
		// which may be before yamux has noticed that it was sent.
		if errors.Is(agreed, ErrVersion) {
			_, _ = st.Read(make([]byte, 1))
		}
		return agreed
	}
	s.ctl.controlStream = newControlStream(st, &s.cfg.Config)
	s.ctl.in.handle = s.handleControl
	return nil
}

func (s *Server) start() {
	s.ctl.lastPing.Store(ticks(time.Now()))
	s.addControl(&s.ctl.controlStream)
	s.run(s.writer)
	s.run(func() error {
		return s.watch(&s.cfg.Config, func(now time.Time) error {
			if stuck(&s.ctl.lastPing, now, s.cfg.IdleTimeout) {
				return ErrLiveness
			}
			return nil
		})
	})
	s.run(s.acceptNone)
	close(s.ready)
}

// acceptNone awaits the end of yamux's session, whose streams beside the control stream this side opens.
func (s *Server) acceptNone() error {
	_, err := s.ys.AcceptStream()
	return errors.Join(ErrClosed, err)
}

// openLane takes a stream that the parent opens. One that has not said what it is counts as a lane, so that those
// are bounded too.
func (s *Server) openLane(id uint32) (*laneStream, error) {
	if uint32(s.lanesN.Add(1)) > s.cfg.Hello.MaxLanes {
		return nil, ErrProtocol
	}
	return s.newLane(id, muxACK, &s.cfg.Config, int(s.cfg.Hello.MaxInFlight)), nil
}

// beginLane makes a lane of a stream that said that it is one.
func (s *Server) beginLane(st *laneStream, t streamType) (known bool, err error) {
	if t != streamLane && t != streamBatch {
		s.lanesN.Add(-1)
		return false, s.countUnknown()
	}
	l := &serverLane{laneStream: st, server: s, batch: t == streamBatch}
	st.in.handle, st.in.refused = l.handle, l.noRoom
	return true, nil
}

// left counts a request that has been answered.
func (s *Server) left() {
	if s.inFlight.Add(-1) == 0 && s.draining.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// InFlight is the number of requests that have not been answered.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// Peer is what the parent announced. The caller must not change what it points to.
func (s *Server) Peer() *wire.Hello { return &s.peer }

// Version is the protocol version agreed on.
func (s *Server) Version() uint16 { return s.version }

// Features are the optional parts of the protocol that both sides have.
func (s *Server) Features() wire.Features { return s.features }

// Drain tells the parent to send no more, answers late comers with wire.ShuttingDown, waits until all requests are
// answered and written or ctx ends, and closes. It returns ctx's error when requests were cut off.
func (s *Server) Drain(ctx context.Context) error {
	if s.draining.CompareAndSwap(false, true) {
		m := wire.GoAway{Code: wire.ShuttingDown}
		_, _ = s.ctl.q.push(wire.Header{Kind: wire.KindGoAway}, m.Append(nil)) // the session may have ended
	}
	var err error
	for err == nil && s.inFlight.Load() > 0 && s.errNow() == nil {
		select {
		case <-s.idle:
		case <-s.ended:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		// The client closes when it has all its answers. One that does not is left after a while.
		grace, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
		defer cancel()
		select {
		case <-s.ended:
		case <-grace.Done():
		}
	}
	return errors.Join(err, s.Close())
}

// Close ends the session at once. It waits for the session's goroutines, and so must not be called from a callback.
func (s *Server) Close() error {
	s.closeNow()
	return nil
}

// Done is closed when the session has ended and its goroutines are gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// Ended is closed as soon as the session has ended, before Done.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Err says why the session ended; nil while it lives.
func (s *Server) Err() error { return s.errNow() }
