package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is the parent's end of a session: its beginning, its streams, its drain. What greet sets is not changed
// afterwards. The counters are atomic.

// Client is the parent's side of a session. All methods are safe for concurrent use.
type Client struct {
	base
	cfg   ClientConfig
	calls sync.Pool

	single []*lane // set by greet, as batch and maxInFlight
	batch  *lane
	next   atomic.Uint32

	inFlight    atomic.Int64
	maxInFlight int64
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
	c := &Client{cfg: cfg, idle: make(chan struct{}, 1)}
	c.calls.New = func() any {
		call := &Call{client: c, Kind: wire.KindDecrypt, done: make(chan struct{}, 1)}
		call.look = call.lookForAnswer
		return call
	}
	if c.cfg.OnPanic == nil {
		c.cfg.OnPanic = func(any) {}
	}
	c.init(conn, &c.cfg.Config, mux.Config{
		Client: true, AcceptForeign: c.admitEgress, OnPanic: c.cfg.OnPanic,
		Alone: func() bool { return c.inFlight.Load() <= aloneCalls },
	}, c.greet)
	c.ctl.waits = map[uint64]chan controlAnswer{}
	c.control.in.handle, c.control.ended = c.handleControl, c.ctl.failAll
	c.control.q.begin(preamble(streamControl))
	if _, err := c.control.q.pushAlone(wire.Header{Kind: wire.KindHello}, c.cfg.Hello.Append(nil)); err != nil {
		return nil, errors.Join(ErrConfig, err, conn.Close())
	}
	c.conn.Open(c.control.st, &c.control)
	c.conn.Go(c.control.work(c.Ended()))
	c.conn.Go(c.pings)
	c.conn.Go(c.library.run(c.acceptEgress))
	if err := c.meet(ctx, &c.cfg.Config); err != nil {
		return nil, err
	}
	return c, nil
}

// aloneCalls is up to how many calls in flight each writes for itself.
const aloneCalls = 1

// greet takes the enclave's hello and opens the lanes.
func (c *Client) greet(m *wire.Hello) error {
	if err := c.agree(&c.cfg.Hello, m); err != nil {
		return err
	}
	c.maxInFlight = int64(min(c.cfg.MaxInFlight, int(m.MaxInFlight)))
	for range min(c.cfg.Lanes, max(1, int(m.MaxLanes)-1)) {
		c.single = append(c.single, c.openLane(streamLane))
	}
	if c.features.Has(wire.FeatureBatchLane) && m.MaxLanes > 1 {
		c.batch = c.openLane(streamBatch)
	}
	c.conn.Move(mux.Open)
	return nil
}

// openLane opens the next of the odd streams. What it says first goes out with the first write.
func (c *Client) openLane(t streamType) *lane {
	st := c.conn.NewStream(uint32(mux.FirstID+2*(1+len(c.single))), streamWindow)
	l := &lane{client: c, framed: newLane(st, &c.cfg.Config, int(c.maxInFlight))}
	l.q.begin(preamble(t))
	l.in.wanted, l.in.handle, l.in.refused = l.waits, l.handle, l.noRoom
	c.conn.Open(st, l)
	return l
}

// Lanes is the number of lanes that the session has, that of batches included. It does not change while it lives.
func (c *Client) Lanes() int {
	if c.batch == nil {
		return len(c.single)
	}
	return len(c.single) + 1
}

// InFlight is the number of calls in flight.
func (c *Client) InFlight() int { return int(c.inFlight.Load()) }

// MaxInFlight is the limit of calls in flight that applies to this session.
func (c *Client) MaxInFlight() int { return int(c.maxInFlight) }

// LateAnswers counts the answers that came after their call had ended.
func (c *Client) LateAnswers() uint64 { return c.late.Load() }

// Draining reports whether this side or the enclave takes no new calls.
// The zero Client does not drain.
func (c *Client) Draining() bool { return c.conn != nil && c.conn.Drained() }

// Drain takes no new calls, tells the enclave, waits until those in flight have ended or ctx ends, and closes.
// It returns ctx's error when calls were cut off.
func (c *Client) Drain(ctx context.Context) error {
	if c.conn.Move(mux.Draining) {
		body := wire.GoAway{Code: wire.ShuttingDown}
		_, _ = c.control.q.push(wire.Header{Kind: wire.KindGoAway}, body.Append(nil)) // the session may have ended
	}
	var err error
	for err == nil && c.inFlight.Load() > 0 && c.Err() == nil {
		select {
		case <-c.idle:
		case <-c.Ended():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return errors.Join(err, c.Close())
}
