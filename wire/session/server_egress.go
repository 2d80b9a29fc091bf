package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"redoubt/wire"
)

// OpenEgress asks the parent to connect to target ("host:port", at most wire.MaxHostPort bytes) and returns a
// connection that carries bytes both ways. Its writes are cut into chunks, so that it cannot starve the lanes.
// Errors: ErrRefused, ErrUnreachable, ErrUnsupported, ErrTooLarge, ErrClosed, or the context's.
func (s *Server) OpenEgress(ctx context.Context, target string) (net.Conn, error) {
	if !s.features.Has(wire.FeatureEgress) {
		return nil, ErrUnsupported
	}
	if target == "" || len(target) > wire.MaxHostPort {
		return nil, ErrTooLarge
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opening := int(s.opening.Add(1))
	defer s.opening.Add(-1)
	if s.ys.NumStreams()-1+opening > s.cfg.MaxEgress { // those that the peer has not seen the end of, too
		return nil, errTooManyEgress
	}
	st, err := s.openStream(ctx)
	if err != nil {
		return nil, err
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = st.SetDeadline(past) })
	err = askEgress(st, target)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return &egressConn{Conn: st}, nil
	}
	_ = st.SetDeadline(past)
	_ = st.Close()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("open egress: %w", context.Cause(ctx))
	case errors.Is(err, ErrRefused), errors.Is(err, ErrUnreachable), errors.Is(err, ErrProtocol):
		return nil, err
	case s.errNow() != nil:
		return nil, ErrClosed
	}
	return nil, errors.Join(ErrUnreachable, err)
}

// Egress is how many egress streams are open, or ended here and not yet by the parent.
func (s *Server) Egress() int { return max(0, s.ys.NumStreams()-1) }

var errTooManyEgress = fmt.Errorf("%w: too many are open", ErrRefused)

// openStream opens a yamux stream within ctx, which yamux does not know: it waits when the peer accepts none.
func (s *Server) openStream(ctx context.Context) (net.Conn, error) {
	type opened struct {
		st  net.Conn
		err error
	}
	ch := make(chan opened, 1)
	go func() {
		st, err := s.ys.Open()
		ch <- opened{st, err}
	}()
	select {
	case o := <-ch:
		if o.err != nil {
			return nil, errors.Join(ErrClosed, o.err)
		}
		return o.st, nil
	case <-ctx.Done():
		go func() {
			if o := <-ch; o.err == nil {
				_ = o.st.Close()
			}
		}()
		return nil, fmt.Errorf("open egress: %w", context.Cause(ctx))
	}
}

func askEgress(st net.Conn, target string) error {
	if _, err := st.Write(appendTarget(preamble(streamEgress), target)); err != nil {
		return err
	}
	var status [1]byte
	if _, err := io.ReadFull(st, status[:]); err != nil {
		return err
	}
	switch status[0] {
	case egressOK:
		return nil
	case egressRefused:
		return ErrRefused
	case egressUnreachable:
		return ErrUnreachable
	}
	return ErrProtocol
}

// egressConn cuts writes into chunks, and ends reads that are waiting when it is closed, as net.Conn demands.
type egressConn struct{ net.Conn }

func (c *egressConn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := c.Conn.Write(p[done:min(len(p), done+wire.MaxChunk)])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *egressConn) Close() error {
	_ = c.SetDeadline(time.Unix(1, 0)) // cannot fail
	return c.Conn.Close()
}
