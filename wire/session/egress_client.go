package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
)

// This file is the parent's part of egress: it connects the enclave's streams to the outside. Each has a goroutine of
// its own, which holds no lock.

// admitEgress judges, on the reading goroutine, a stream that the enclave opens: egress streams are all that it may
// open, and the library queues whatever comes.
func (c *Client) admitEgress() error {
	if c.library.streams() >= c.cfg.MaxEgress+acceptBacklog {
		return ErrProtocol
	}
	c.library.begin()
	return nil
}

// acceptEgress takes the streams that the enclave opens. Each is an egress stream; more than MaxEgress at once are
// refused.
func (c *Client) acceptEgress(ys *yamux.Session) error {
	slots := make(chan struct{}, c.cfg.MaxEgress)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		st, err := ys.AcceptStream()
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = st.Close()
			if err := c.countUnknown(); err != nil {
				return err
			}
			continue
		}
		c.conn.Go(func() error {
			defer func() { <-slots }()
			defer func() { _ = st.Close() }()
			c.serveEgress(ctx, st)
			return nil
		})
	}
}

func (c *Client) serveEgress(ctx context.Context, st net.Conn) {
	if err := st.SetDeadline(time.Now().Add(c.cfg.HelloTimeout)); err != nil {
		return
	}
	var b [preambleSize]byte
	_, err := io.ReadFull(st, b[:])
	if t, perr := parsePreamble(b[:]); err != nil || perr != nil || t != streamEgress {
		if cerr := c.countUnknown(); cerr != nil {
			c.conn.Fail(cerr)
		}
		return
	}
	target, err := readTarget(st)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.WriteTimeout)
	defer cancel()
	up, status := c.connect(ctx, target)
	if up != nil {
		defer func() { _ = up.Close() }()
	}
	if err := st.SetDeadline(time.Now().Add(c.cfg.WriteTimeout)); err != nil {
		return
	}
	if _, err := st.Write([]byte{status}); err != nil || status != egressOK {
		return
	}
	if err := st.SetDeadline(time.Time{}); err != nil {
		return
	}
	c.splice(st, up)
}

func (c *Client) connect(ctx context.Context, target string) (net.Conn, byte) {
	if c.cfg.OnEgress == nil || !c.features.Has(wire.FeatureEgress) {
		return nil, egressRefused
	}
	up, err := c.cfg.OnEgress(ctx, target)
	switch {
	case err == nil && up != nil:
		return up, egressOK
	case errors.Is(err, ErrRefused):
		return nil, egressRefused
	}
	return nil, egressUnreachable
}

// splice carries bytes both ways until one side ends or the session does, then closes both. What one side sent before
// it ended is delivered.
func (c *Client) splice(a, b net.Conn) {
	stop := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }) }
	var wg sync.WaitGroup
	carry := func(dst, src net.Conn) {
		defer end()
		buf := getBuffer(wire.MaxChunk)
		defer putBuffer(buf)
		_ = c.conn.Guard(func() error {
			_, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{src}, buf[:wire.MaxChunk])
			return err
		})
	}
	wg.Go(func() { carry(a, b) })
	wg.Go(func() { carry(b, a) })
	select {
	case <-stop:
	case <-c.Ended():
	}
	cut(a)
	cut(b)
	wg.Wait()
}
