package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file starts and ends the library, hashicorp/yamux. The library serves the egress streams on the connection's
// pipe, from the first of them on, and sees nothing else. What it holds has been sealed by TLS, but for the name of a
// host. A goroutine of the session starts the library and sees to its end. Other goroutines reach it through ys.

const (
	acceptBacklog = 64
	closeTimeout  = 10 * time.Second
)

// library is hashicorp/yamux.
type library struct {
	pipe   func() *mux.Pipe
	ended  <-chan struct{}
	make   func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)
	config yamux.Config
	once   *sync.Once
	begun  chan struct{} // closed by begin
	ready  chan struct{} // closed when ys is set
	ys     *atomic.Pointer[yamux.Session]
}

func newLibrary(conn *mux.Conn, cfg *Config, client bool) library {
	l := library{
		pipe: conn.Pipe, ended: conn.Ended(), make: yamux.Server, once: new(sync.Once),
		begun: make(chan struct{}), ready: make(chan struct{}), ys: new(atomic.Pointer[yamux.Session]),
		config: yamux.Config{
			AcceptBacklog:     acceptBacklog,
			EnableKeepAlive:   false,
			KeepAliveInterval: time.Hour, // not used, but must not be zero
			// Longer than the connection's own deadline, which is the one meant to fire.
			ConnectionWriteTimeout: 2 * cfg.WriteTimeout,
			MaxStreamWindowSize:    libraryWindow,
			// The library would end its session before its pipe, and readers would spin; see openTimeout.
			StreamOpenTimeout:  0,
			StreamCloseTimeout: closeTimeout,
			Logger:             silent{},
		},
	}
	if client {
		l.make = yamux.Client
	}
	return l
}

// silent drops the library's log: what matters of it is in the session's error.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// begin has the library started, from any goroutine; the pipe takes its frames from now on. It does not wait.
func (l *library) begin() {
	l.once.Do(func() {
		l.pipe()
		close(l.begun)
	})
}

// run starts the library when it is wanted, and lets serve use it until the session or the library's ends. The pipe is
// closed first, and the library's session ends by that: Stream.Read spins from the end of the library's session until
// its receiving goroutine has ended.
func (l *library) run(serve func(*yamux.Session) error) func() error {
	return func() error {
		select {
		case <-l.begun:
		case <-l.ended:
			return nil
		}
		ys, err := l.make(l.pipe(), &l.config)
		if err != nil {
			return errors.Join(ErrConfig, err)
		}
		l.ys.Store(ys)
		close(l.ready)
		err = serve(ys)
		_ = l.pipe().Close()
		<-ys.CloseChan()
		_ = ys.Close() // waits for its goroutines
		return libraryErr(cause(ys, err))
	}
}

// cause is why the library's session ended, once it has. AcceptStream failed with ErrSessionShutdown instead if it had
// just taken a stream from its queue. Those that are still there are closed.
func cause(ys *yamux.Session, err error) error {
	for n := 0; n <= acceptBacklog && (err == nil || errors.Is(err, yamux.ErrSessionShutdown)); n++ {
		_, err = ys.AcceptStream()
	}
	return err
}

// libraryErr says why the library's session ended while ours lived: by what the peer sent.
func libraryErr(err error) error {
	switch {
	case errors.Is(err, yamux.ErrConnectionWriteTimeout):
		return ErrWriteTimeout
	case errors.Is(err, io.EOF), errors.Is(err, yamux.ErrSessionShutdown), errors.Is(err, ErrClosed):
		return ErrClosed
	case errors.Is(err, ErrProtocol):
		return err
	}
	return errors.Join(ErrProtocol, err)
}

// streams is how many the library holds.
func (l *library) streams() int {
	if ys := l.ys.Load(); ys != nil {
		return ys.NumStreams()
	}
	return 0
}

// session begins the library and waits until it is there.
func (l *library) session(ctx context.Context) (*yamux.Session, error) {
	l.begin()
	select {
	case <-l.ready:
		return l.ys.Load(), nil
	case <-l.ended:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("open egress: %w", context.Cause(ctx))
	}
}

// The answers to an egress stream's request, one byte each.
const (
	egressOK          = 0
	egressRefused     = 1
	egressUnreachable = 2
)

func appendTarget(b []byte, target string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(target)))
	return append(b, target...)
}

func readTarget(r io.Reader) (string, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", fmt.Errorf("read egress target: %w", err)
	}
	size := binary.LittleEndian.Uint16(n[:])
	if size == 0 || size > wire.MaxHostPort {
		return "", ErrProtocol
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", fmt.Errorf("read egress target: %w", err)
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return "", ErrProtocol
		}
	}
	return string(b), nil
}

// onlyWriter and onlyReader hide other methods, so that copies keep to the buffer's size.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }

var past = time.Unix(1, 0)

// cut ends what waits on a connection and closes it: a yamux stream that is closed goes on reading until its peer
// closes too, unless a deadline ends that.
func cut(c net.Conn) {
	_ = c.SetDeadline(past)
	_ = c.Close()
}
