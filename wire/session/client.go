package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// Client is the parent's side of a session. All methods are safe for concurrent use.
type Client struct {
	*mux
	cfg   ClientConfig
	calls sync.Pool

	single []*lane // opened before NewClient returns, with streamsM held
	batch  *lane
	next   atomic.Uint32

	inFlight    atomic.Int64
	maxInFlight int64
	draining    atomic.Bool
	idle        chan struct{} // told when the last call in flight ends while draining
	late        atomic.Uint64

	ctl clientControl
}

// NewClient makes a session of conn: it exchanges hellos, opens the lanes and starts the pings. It owns conn from now
// on, and closes it also when it fails. Errors: ErrHello, ErrVersion, ErrProtocol, ErrConfig, or the context's.
func NewClient(ctx context.Context, conn net.Conn, cfg ClientConfig) (*Client, error) {
	if err := cfg.fill(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	m := newMux(conn, &cfg.Config, true)
	c := &Client{mux: m, cfg: cfg, idle: make(chan struct{}, 1)}
	c.calls.New = func() any {
		call := &Call{client: c, Kind: wire.KindDecrypt, done: make(chan struct{}, 1)}
		call.look = call.lookForAnswer
		return call
	}
	c.ctl.init()
	m.onFail = c.failCalls
	m.alone = func() bool { return c.inFlight.Load() <= aloneCalls }
	if cfg.OnPanic != nil {
		m.onPanic = cfg.OnPanic
	}
	if err := m.meet(ctx, &cfg.Config, c.greet, c.start); err != nil {
		return nil, err
	}
	return c, nil
}

// helloError says why a hello failed, in this package's terms.
func helloError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrHello, context.Cause(ctx))
	case errors.Is(err, ErrVersion), errors.Is(err, ErrProtocol), errors.Is(err, ErrHello):
		return err
	}
	return fmt.Errorf("%w: %w", ErrHello, err)
}

// greet exchanges hellos and opens the streams.
func (c *Client) greet() error {
	st, err := c.ys.OpenStream()
	if err != nil {
		return err
	}
	if err := writeHello(st, streamControl, &c.cfg.Hello); err != nil {
		return err
	}
	if c.peer, err = readHello(st); err != nil {
		return err
	}
	if err := c.agree(&c.cfg.Hello); err != nil {
		return err
	}
	c.maxInFlight = int64(min(c.cfg.MaxInFlight, int(c.peer.MaxInFlight)))
	c.ctl.controlStream = newControlStream(st, &c.cfg.Config)
	c.ctl.in.handle = c.handleControl
	for range min(c.cfg.Lanes, max(1, int(c.peer.MaxLanes)-1)) {
		c.openLane(streamLane)
	}
	if c.features.Has(wire.FeatureBatchLane) && c.peer.MaxLanes > 1 {
		c.openLane(streamBatch)
	}
	return nil
}

// agree settles version and features once the peer's hello is there.
func (m *mux) agree(own *wire.Hello) error {
	v, f, ok := wire.Negotiate(own, &m.peer)
	if !ok {
		return ErrVersion
	}
	if m.peer.MaxInFlight == 0 || m.peer.MaxLanes == 0 || m.peer.MaxBody < wire.MaxChunk {
		return ErrProtocol
	}
	m.version, m.features = v, f
	return nil
}

// openLane opens the next of the streams that this package serves. What it says first goes out with the first write.
func (c *Client) openLane(t streamType) {
	id := uint32(controlID + 2*(1+c.Lanes()))
	l := &lane{client: c, laneStream: c.newLane(id, muxSYN, &c.cfg.Config, int(c.maxInFlight))}
	l.q.buf = append(l.q.buf, preamble(t)...)
	l.q.queued, l.q.pushed = preambleSize, preambleSize
	l.in.wanted, l.in.handle, l.in.refused = l.waits, l.handle, l.noRoom
	c.streamsM.Lock()
	if t == streamBatch {
		c.batch = l
	} else {
		c.single = append(c.single, l)
	}
	c.streamsM.Unlock()
	c.addStream(l.laneStream)
}

func (c *Client) start() {
	c.addControl(&c.ctl.controlStream)
	c.run(c.writer)
	c.wakeWriter()
	c.run(func() error { return c.watch(&c.cfg.Config, func(time.Time) error { return nil }) })
	c.run(c.pings)
	c.run(c.acceptEgress)
}

// lanesOf takes the lock for a session that ends while it still opens them.
func (c *Client) lanesOf() []*lane {
	c.streamsM.Lock()
	defer c.streamsM.Unlock()
	if c.batch == nil {
		return c.single
	}
	return append(append([]*lane(nil), c.single...), c.batch)
}

// InFlight is the number of calls in flight.
func (c *Client) InFlight() int { return int(c.inFlight.Load()) }

// MaxInFlight is the limit of calls in flight that applies to this session.
func (c *Client) MaxInFlight() int { return int(c.maxInFlight) }

// LateAnswers counts the answers that came after their call had ended.
func (c *Client) LateAnswers() uint64 { return c.late.Load() }

// Peer is what the enclave announced. The caller must not change what it points to.
func (c *Client) Peer() *wire.Hello { return &c.peer }

// Version is the protocol version that both sides agreed on.
func (c *Client) Version() uint16 { return c.version }

// Features are the optional parts of the protocol that both sides have.
func (c *Client) Features() wire.Features { return c.features }

// Draining reports whether this side or the enclave takes no new calls.
func (c *Client) Draining() bool { return c.draining.Load() }

// Drain takes no new calls, tells the enclave, waits until those in flight have ended or ctx ends, and closes.
// It returns ctx's error when calls were cut off.
func (c *Client) Drain(ctx context.Context) error {
	if c.draining.CompareAndSwap(false, true) {
		body := wire.GoAway{Code: wire.ShuttingDown}
		_, _ = c.ctl.q.push(wire.Header{Kind: wire.KindGoAway}, body.Append(nil)) // the session may have ended
	}
	var err error
	for err == nil && c.inFlight.Load() > 0 && c.errNow() == nil {
		select {
		case <-c.idle:
		case <-c.ended:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return errors.Join(err, c.Close())
}

// Close ends the session at once; calls in flight fail with ErrClosed. It waits for the session's goroutines, and so
// must not be called from a callback.
func (c *Client) Close() error {
	c.closeNow()
	return nil
}

// Done is closed when the session has ended and its goroutines are gone.
func (c *Client) Done() <-chan struct{} { return c.done }

// Ended is closed as soon as the session has ended, before Done.
func (c *Client) Ended() <-chan struct{} { return c.ended }

// Err says why the session ended; nil while it lives.
func (c *Client) Err() error { return c.errNow() }
