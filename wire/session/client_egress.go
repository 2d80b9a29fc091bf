package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"redoubt/wire"
)

// acceptEgress takes the streams that the enclave opens. Each is an egress stream; more than MaxEgress at once are
// refused.
func (c *Client) acceptEgress() error {
	slots := make(chan struct{}, c.cfg.MaxEgress)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		st, err := c.ys.AcceptStream()
		if err != nil {
			return errors.Join(ErrClosed, err)
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
		c.wg.Go(func() {
			defer func() { <-slots }()
			defer func() { _ = st.Close() }()
			_ = c.guarded(func() error { c.serveEgress(ctx, st); return nil }) // it has ended the session
		})
	}
}

func (c *Client) serveEgress(ctx context.Context, st net.Conn) {
	if err := st.SetDeadline(time.Now().Add(c.cfg.HelloTimeout)); err != nil {
		return
	}
	t, err := readPreamble(st)
	if err != nil || t != streamEgress {
		if cerr := c.countUnknown(); cerr != nil {
			c.fail(cerr)
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
		_ = c.guarded(func() error {
			_, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{src}, buf[:wire.MaxChunk])
			return err
		})
	}
	wg.Go(func() { carry(a, b) })
	wg.Go(func() { carry(b, a) })
	select {
	case <-stop:
	case <-c.ended:
	}
	// A yamux stream that is closed goes on reading until its peer closes too: the deadline ends that.
	past := time.Unix(1, 0)
	_, _ = a.SetDeadline(past), b.SetDeadline(past)
	_, _ = a.Close(), b.Close()
	wg.Wait()
}

// onlyWriter and onlyReader hide other methods, so that copies keep to the buffer's size.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }
