package session

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is what a parent asks on the control stream, on the askers' goroutines, and what it is told, on the worker
// of the control stream. mu is taken last.

// clientControl is the client's side of the control stream: few requests at a time, answers matched by id.
type clientControl struct {
	mu    sync.Mutex
	next  uint64
	waits map[uint64]chan controlAnswer
	err   error

	pong  atomic.Pointer[wire.Pong]
	log   wire.Log
	limit tokens
}

type controlAnswer struct {
	kind wire.Kind
	body []byte // a copy
	err  error
}

// ask sends a control message and waits for its answer. The body is wiped.
func (c *Client) ask(ctx context.Context, kind wire.Kind, body []byte, want wire.Kind) ([]byte, error) {
	defer clear(body)
	t := &c.ctl
	ch := make(chan controlAnswer, 1)
	t.mu.Lock()
	if t.err != nil {
		t.mu.Unlock()
		return nil, &CallError{Err: t.err}
	}
	t.next++
	id := t.next
	t.waits[id] = ch
	t.mu.Unlock()
	h := wire.Header{Kind: kind, ID: id}
	if d, ok := ctx.Deadline(); ok {
		h.DeadlineMS = millis(max(time.Until(d), time.Millisecond), d)
	}
	if _, err := c.control.q.push(h, body); err != nil {
		t.take(id)
		return nil, &CallError{Err: err}
	}
	select {
	case a := <-ch:
		if a.err != nil {
			return nil, a.err
		}
		if a.kind != want {
			c.conn.Fail(ErrProtocol)
			return nil, &CallError{Sent: true, Err: ErrProtocol}
		}
		return a.body, nil
	case <-ctx.Done():
		t.take(id)
		return nil, &CallError{Sent: true, Err: ctx.Err()}
	}
}

func (t *clientControl) take(id uint64) chan controlAnswer {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch := t.waits[id]
	delete(t.waits, id)
	return ch
}

func (t *clientControl) failAll(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	for id, ch := range t.waits {
		ch <- controlAnswer{err: &CallError{Sent: true, Err: err}}
		delete(t.waits, id)
	}
}

// handleControl takes one message of the enclave's.
func (c *Client) handleControl(h wire.Header, body []byte, owned bool) error {
	if owned {
		defer putBuffer(body)
	}
	switch h.Kind {
	case wire.KindLog:
		return c.handleLog(body)
	case wire.KindGoAway:
		return c.handleGoAway(body)
	case wire.KindError, wire.KindAck, wire.KindPong, wire.KindPurged, wire.KindStats, wire.KindAttested:
		return c.handleAnswer(h, body)
	}
	return c.countUnknown()
}

func (c *Client) handleAnswer(h wire.Header, body []byte) error {
	c.ctl.mu.Lock()
	asked := h.ID != 0 && h.ID <= c.ctl.next
	c.ctl.mu.Unlock()
	if !asked {
		return ErrProtocol
	}
	ch := c.ctl.take(h.ID)
	if ch == nil {
		return nil // late
	}
	a := controlAnswer{kind: h.Kind}
	if h.Kind == wire.KindError {
		a.err = answerError(body)
	} else {
		a.body = append([]byte(nil), body...)
	}
	ch <- a
	return nil
}

func (c *Client) handleLog(body []byte) error {
	if err := c.ctl.log.Decode(body); err != nil {
		return err
	}
	// The enclave keeps to a rate; a hostile one is held to it.
	if c.cfg.OnLog != nil && c.ctl.limit.take(c.control.in.arrived, 2*c.cfg.LogsPerSecond) {
		c.cfg.OnLog(&c.ctl.log)
	}
	c.ctl.log.Reset()
	return nil
}

func (c *Client) handleGoAway(body []byte) error {
	var m wire.GoAway
	if err := m.Decode(body); err != nil {
		return err
	}
	if !c.conn.Move(mux.Draining) {
		return nil
	}
	if c.cfg.OnGoAway != nil {
		c.cfg.OnGoAway(m.Code)
	}
	c.conn.Go(func() error { // ends the session when the last call has ended
		for c.inFlight.Load() > 0 {
			select {
			case <-c.idle:
			case <-c.Ended():
				return nil
			}
		}
		return ErrDraining
	})
	return nil
}

// SetCredentials gives the enclave new credentials and waits for its word that it took them.
func (c *Client) SetCredentials(ctx context.Context, m *wire.Credentials) error {
	if err := m.Validate(); err != nil {
		return &CallError{Err: err}
	}
	size := 32 + len(m.AccessKeyID) + len(m.Secret) + len(m.Token)
	_, err := c.ask(ctx, wire.KindCredentials, m.Append(make([]byte, 0, size)), wire.KindAck)
	return err
}

// Purge makes the enclave forget the keys and contexts of a vault, or of all when m.VaultID is empty.
func (c *Client) Purge(ctx context.Context, m *wire.Purge) (wire.Purged, error) {
	if err := m.Validate(); err != nil {
		return wire.Purged{}, &CallError{Err: err}
	}
	body, err := c.ask(ctx, wire.KindPurge, m.Append(nil), wire.KindPurged)
	if err != nil {
		return wire.Purged{}, err
	}
	var p wire.Purged
	return p, c.decoded(p.Decode(body))
}

// decoded ends the session of an enclave whose answer cannot be read.
func (c *Client) decoded(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %w", ErrProtocol, err)
	c.conn.Fail(err)
	return &CallError{Sent: true, Err: err}
}

// Ping asks now, beside the regular pings.
func (c *Client) Ping(ctx context.Context) (wire.Pong, error) {
	start := time.Now()
	ping := wire.Ping{ClockMS: start.UnixMilli()}
	body, err := c.ask(ctx, wire.KindPing, ping.Append(nil), wire.KindPong)
	if err != nil {
		return wire.Pong{}, err
	}
	var p wire.Pong
	if err := c.decoded(p.Decode(body)); err != nil {
		return wire.Pong{}, err
	}
	c.ctl.pong.Store(&p)
	if c.cfg.OnPong != nil {
		c.cfg.OnPong(p, time.Since(start))
	}
	return p, nil
}

// LastPong is the latest pong, and whether there has been one.
func (c *Client) LastPong() (wire.Pong, bool) {
	if p := c.ctl.pong.Load(); p != nil {
		return *p, true
	}
	return wire.Pong{}, false
}

// pings asks for signs of life until the session ends, or ends it for want of them.
func (c *Client) pings() error {
	select {
	case <-c.conn.Opened():
	case <-c.Ended():
		return nil
	}
	t := time.NewTicker(c.cfg.PingInterval)
	defer t.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.PingTimeout)
		_, err := c.Ping(ctx)
		cancel()
		if err != nil {
			return ErrLiveness
		}
		select {
		case <-c.Ended():
			return nil
		case <-t.C:
		}
	}
}

// Stats fetches a snapshot of the enclave's numbers into m.
func (c *Client) Stats(ctx context.Context, m *wire.Stats) error {
	if !c.features.Has(wire.FeatureStats) {
		return &CallError{Err: ErrUnsupported}
	}
	body, err := c.ask(ctx, wire.KindStatsRequest, nil, wire.KindStats)
	if err != nil {
		return err
	}
	return c.decoded(m.Decode(body))
}

// OpenDomain hands the record of a domain over. The error is a *wire.Error if the enclave refuses it.
func (c *Client) OpenDomain(ctx context.Context, record []byte) error {
	if !c.features.Has(wire.FeatureDomains) {
		return &CallError{Err: ErrUnsupported}
	}
	m := wire.DomainRecord{Record: record}
	if err := m.Validate(); err != nil {
		return &CallError{Err: err}
	}
	_, err := c.ask(ctx, wire.KindDomain, m.Append(nil), wire.KindAck)
	return err
}

// Attest asks for an attestation document over nonce and appends it to dst.
func (c *Client) Attest(ctx context.Context, nonce, dst []byte) ([]byte, error) {
	if !c.features.Has(wire.FeatureAttest) {
		return dst, &CallError{Err: ErrUnsupported}
	}
	m := wire.AttestRequest{Nonce: nonce}
	if err := m.Validate(); err != nil {
		return dst, &CallError{Err: err}
	}
	body, err := c.ask(ctx, wire.KindAttest, m.Append(nil), wire.KindAttested)
	if err != nil {
		return dst, err
	}
	var a wire.AttestResponse
	if err := c.decoded(a.Decode(body)); err != nil {
		return dst, err
	}
	return append(dst, a.Document...), nil
}
