package session

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
)

const (
	// streamWindow is what a peer may send ahead on a lane, libraryWindow on a stream of the library's, which keeps it in
	// memory: the control stream, and egress streams.
	streamWindow  = 512 << 10
	libraryWindow = muxInitialWindow
	acceptBacklog = 64
	closeTimeout  = 10 * time.Second
)

// mux is what both ends of a session share: the connection, yamux, and how it all ends.
type mux struct {
	conn *groupConn
	ys   *yamux.Session

	once   sync.Once
	err    error
	ended  chan struct{} // closed first: err is set, nothing new begins
	done   chan struct{} // closed last: all goroutines have ended
	wg     sync.WaitGroup
	onFail func(error)
	// onPanic is told of a panic that was recovered.
	onPanic func(v any)

	streamsM sync.Mutex
	control  *laneParts // nil before start
	streams  atomic.Pointer[[]*laneStream]

	// Of who writes: see say.
	want    atomic.Bool // some stream has something to say
	wake    chan struct{}
	alone   func() bool // no other caller is about to say something
	company atomic.Int32
	turn    int // with conn.w held

	mayPoll bool // there is a processor to spare
	poller  poller

	// Of who reads, with conn.r held.
	dispatching atomic.Bool // it will call settle
	receiving   *laneStream
	pongs       pongs
	ready       chan struct{} // a server's: closed when streams may be accepted
	met         bool          // a server's: the control stream was opened
	late        chan struct{} // closed when the hellos were not exchanged in time
	client      bool
	// maxForeign bounds the streams of the library's that are open: the control stream, egress streams, and those that
	// wait to be accepted or whose end the peer has not seen.
	maxForeign int
	onOpen     func(id uint32) (*laneStream, error)
	onBegin    func(l *laneStream, t streamType) (known bool, err error)

	peer     wire.Hello
	version  uint16
	features wire.Features

	unknown atomic.Uint32
}

// maxUnknown bounds the frames and streams of unknown kind that a session bears.
const maxUnknown = 1000

// newMux makes a mux that reads nothing yet: the callbacks are set before open.
func newMux(conn net.Conn, cfg *Config, client bool) *mux {
	m := &mux{
		conn: newGroupConn(conn, cfg.WriteTimeout), ended: make(chan struct{}), done: make(chan struct{}),
		onFail: func(error) {}, onPanic: func(any) {}, wake: make(chan struct{}, 1), ready: make(chan struct{}),
		late: make(chan struct{}), client: client,
	}
	m.streams.Store(&[]*laneStream{})
	m.conn.lanes, m.conn.begin = m, make(chan struct{})
	m.maxForeign = 1 + cfg.MaxEgress + acceptBacklog
	m.mayPoll = runtime.GOMAXPROCS(0) > 1
	return m
}

// open makes yamux's session. Its goroutines begin within the library's call, before m.ys is set, so that the first
// read of the connection is held back until all that a peer's bytes can reach is there. The session's goroutines count
// as running until built is called: one that ends while it is being made does not miss those that start after.
func (m *mux) open(cfg *Config) error {
	yc := &yamux.Config{
		AcceptBacklog:     acceptBacklog,
		EnableKeepAlive:   false,
		KeepAliveInterval: time.Hour, // not used, but must not be zero
		// Longer than the connection's own deadline, which is the one meant to fire.
		ConnectionWriteTimeout: 2 * cfg.WriteTimeout,
		MaxStreamWindowSize:    libraryWindow,
		StreamOpenTimeout:      cfg.HelloTimeout + cfg.WriteTimeout,
		StreamCloseTimeout:     closeTimeout,
		Logger:                 silent{},
	}
	var err error
	if m.client {
		m.ys, err = yamux.Client(m.conn, yc)
	} else {
		m.ys, err = yamux.Server(m.conn, yc)
	}
	if err != nil {
		return errors.Join(ErrConfig, err, m.conn.Close())
	}
	m.wg.Add(1)
	close(m.conn.begin)
	return nil
}

// meet opens the session, exchanges hellos and starts what serves it. When it fails, the session has ended.
func (m *mux) meet(ctx context.Context, cfg *Config, greet func() error, start func()) error {
	if err := m.open(cfg); err != nil {
		return err
	}
	stop := m.guard(ctx, cfg.HelloTimeout)
	err := m.guarded(greet)
	if !stop() && err == nil {
		err = ErrHello
	}
	if err == nil {
		start()
	}
	m.built()
	if err != nil {
		m.closeNow()
		return helloError(ctx, err)
	}
	return nil
}

// built says that no further goroutine starts but from one that runs.
func (m *mux) built() { m.wg.Done() }

// silent drops yamux's log: what matters of it is in the session's error.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// fail ends the session, once, for the reason err. It does not wait.
func (m *mux) fail(err error) {
	m.once.Do(func() {
		if errors.Is(err, ErrClosed) {
			err = m.cause()
		}
		m.err = err
		close(m.ended)
		_ = m.conn.Close() // yamux's goroutines see it, and so do all streams
		for _, l := range m.allLanes() {
			l.q.close(err)
		}
		m.onFail(err)
		go m.finish()
	})
}

func (m *mux) finish() {
	_ = m.ys.Close()
	m.wg.Wait()
	m.conn.wipe()
	lanes := m.allLanes()
	m.conn.r.Lock() // a caller may still look for its answer
	for _, l := range lanes {
		l.in.wipe()
	}
	m.conn.r.Unlock()
	close(m.done)
}

// cause finds out why a session is closed: by something that yamux could not accept, or by the connection's end.
func (m *mux) cause() error {
	if m.ys.IsClosed() {
		// yamux tells its reason to the one who accepts, in turns with streams that wait.
		for range 2 * acceptBacklog {
			if _, err := m.ys.AcceptStream(); err != nil && !errors.Is(err, yamux.ErrSessionShutdown) {
				return closedBy(err)
			}
		}
	}
	if cause := m.conn.cause.Load(); cause != nil {
		return closedBy(*cause)
	}
	return ErrClosed // this side did it, or the peer closed a stream
}

// closedBy maps the end of the connection to one of this package's errors.
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
	return errors.Join(ErrProtocol, err)
}

// streamErr maps an error of a stream to one of this package's.
func streamErr(err error) error {
	switch {
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, ErrProtocol):
		return errors.Join(ErrProtocol, err)
	case errors.Is(err, yamux.ErrConnectionWriteTimeout):
		return ErrWriteTimeout
	case errors.Is(err, ErrOverflow), errors.Is(err, ErrHello):
		return err
	}
	return ErrClosed
}

// run starts a goroutine that belongs to the session; its error, if any, ends the session.
func (m *mux) run(f func() error) {
	m.wg.Go(func() {
		if err := m.guarded(f); err != nil {
			m.fail(err)
		}
	})
}

// guarded calls f. A panic in it, which bytes of the peer's may have caused, ends the session and not the process.
func (m *mux) guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = m.panicked(v)
		}
	}()
	return f()
}

// panicked implements laneIO. v may hold anything, and goes nowhere but to the callback.
func (m *mux) panicked(v any) error {
	m.fail(ErrFault)
	func() {
		defer func() { _ = recover() }()
		m.onPanic(v)
	}()
	return ErrFault
}

func (m *mux) errNow() error {
	select {
	case <-m.ended:
		return m.err
	default:
		return nil
	}
}

// closeNow ends the session and waits for its goroutines.
func (m *mux) closeNow() {
	m.fail(ErrClosed)
	<-m.done
}

// countUnknown ends the session of a peer that sends what we do not know, again and again.
func (m *mux) countUnknown() error {
	if m.unknown.Add(1) > maxUnknown {
		return ErrProtocol
	}
	return nil
}

// guard ends the session when ctx ends or d passes before stop is called; stop reports whether it was in time.
func (m *mux) guard(ctx context.Context, d time.Duration) (stop func() bool) {
	gctx, cancel := context.WithTimeout(ctx, d)
	after := context.AfterFunc(gctx, func() {
		close(m.late)
		_ = m.conn.Close()
	})
	return func() bool {
		ok := after()
		cancel()
		return ok
	}
}
