package mux

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/rawio"
)

// This file makes a connection and ends it. It sets most fields before Start, and they do not change afterwards. It
// sets err and drained before it closes ended.

const (
	// MaxWrite is the most bytes of one write to the socket: larger ones have been corrupted by some vsock kernels.
	MaxWrite = 31 << 10
	// ReadSize is the most bytes of one read of the socket.
	ReadSize = 64 << 10
	// FirstID is the stream that a client opens before all others.
	FirstID = 1
)

// Config is what a connection does beside what its streams do. The callbacks run where they say; none may wait.
type Config struct {
	// Client says that this side opens the streams of our kind. The other side opens the foreign ones.
	Client bool
	// WriteTimeout bounds one write to the socket, and how long a stream's write may make no progress.
	WriteTimeout time.Duration
	// Tick is how often the watchdog looks.
	Tick time.Duration
	// Accept makes the handler of a stream that a client opens, on the reader. An error ends the connection.
	Accept func(s *Stream) (Handler, error)
	// AcceptForeign is told, on the reader, of a foreign stream that a server opens, before the library gets to see it;
	// by then the library has seen all frames before. An error ends the connection.
	AcceptForeign func() error
	// Window is how much a peer may send ahead on a stream that it opens, at least yamuxframe.InitialWindow.
	Window uint32
	// Alone reports that no other goroutine is about to say something, so that the caller may write at once.
	Alone func() bool
	// Idle reports that the process has nothing else to do than to wait for the peer, so that the reader may poll.
	// Nil: it never does.
	Idle func() bool
	// Check is the watchdog's look at what is not a stream's. An error ends the connection. May be nil.
	Check func(now time.Time) error
	// OnPanic is told of a panic that was recovered. v may hold anything: it must not be logged.
	OnPanic func(v any)
}

// Conn owns a socket. All methods are safe for concurrent use, after Start where nothing else is said.
type Conn struct {
	cfg    Config
	net    net.Conn
	raw    *rawio.Conn // nil: the connection has no descriptor, every write waits
	state  atomic.Int32
	opened chan struct{}
	away   atomic.Bool // the peer takes no new streams

	once    sync.Once
	err     error
	drained atomic.Bool
	ended   chan struct{} // closed first: err is set, nothing new begins
	done    chan struct{} // closed last: all goroutines have ended
	wg      sync.WaitGroup

	streamsM sync.Mutex // held to change streams
	streams  atomic.Pointer[[]*Stream]
	pipe     *Pipe
	pongs    pongs

	reading
	writing
	polling
}

// NewConn makes a connection that owns nc. It reads nothing before Start: all that a peer's bytes can reach is put in
// place in between.
func NewConn(nc net.Conn, cfg Config) *Conn {
	c := &Conn{
		cfg: cfg, net: nc, opened: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}),
	}
	if raw, ok := rawio.New(nc); ok {
		c.raw, c.net = raw, raw
	}
	c.streams.Store(&[]*Stream{})
	c.pipe = newPipe(c)
	c.in = make([]byte, ReadSize)
	c.ready = c.readable
	c.look = c.fill
	c.out = make([]byte, 0, MaxWrite)
	c.wakeup = make(chan struct{}, 1)
	c.mayPoll = runtime.GOMAXPROCS(0) > 1
	return c
}

// Start begins to read and to write.
func (c *Conn) Start() {
	c.wg.Add(1) // one that ends while it is being started does not miss those that start after
	defer c.wg.Done()
	c.Go(c.writer)
	c.Go(c.watch)
	c.Go(c.reader)
}

// Go runs f on a goroutine of the connection's, before Start or from another of them. Its error ends the connection.
func (c *Conn) Go(f func() error) {
	c.wg.Go(func() {
		if err := c.Guard(f); err != nil {
			c.Fail(err)
		}
	})
}

// Guard calls f. A panic in it, which bytes of the peer's may have caused, ends the connection and not the process.
func (c *Conn) Guard(f func() error) (err error) {
	defer c.recovered(&err)
	return f()
}

// recovered is deferred where a panic shall end the connection: where goroutines of the connection begin, and where
// those of others enter.
func (c *Conn) recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	*err = ErrFault
	c.Fail(ErrFault)
	defer func() { _ = recover() }()
	c.cfg.OnPanic(v)
}

// Fail ends the connection, once, for the reason err. It does not wait.
func (c *Conn) Fail(err error) {
	c.once.Do(func() {
		c.err = err
		c.drained.Store(State(c.state.Load()) == Draining)
		c.state.Store(int32(Ended))
		close(c.ended)
		_ = c.net.Close() // the reader and the writer see it
		_ = c.pipe.Close()
		for _, s := range *c.streams.Load() {
			s.h.Ended(err)
		}
		go c.finish()
	})
}

func (c *Conn) finish() {
	c.wg.Wait()
	c.w.Lock() // a caller may still write or look for its answer
	c.wipeOut()
	c.w.Unlock()
	c.r.Lock()
	c.wipeIn()
	for _, s := range *c.streams.Load() {
		s.h.Wipe()
	}
	c.r.Unlock()
	close(c.done)
}

// Close ends the connection and waits for its goroutines.
func (c *Conn) Close() {
	c.Fail(ErrClosed)
	<-c.done
}

// Ended is closed as soon as the connection has ended, Done when its goroutines are gone and its buffers are wiped.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Done is described at Ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection ended; nil while it lives.
func (c *Conn) Err() error {
	select {
	case <-c.ended:
		return c.err
	default:
		return nil
	}
}

// Away reports that the peer has said that it takes no new streams.
func (c *Conn) Away() bool { return c.away.Load() }
