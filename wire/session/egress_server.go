package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
)

// This file is the enclave's part of egress. It opens streams towards the outside, on the goroutine of the caller, and
// holds no lock.

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
	ys, err := s.library.session(ctx)
	if err != nil {
		return nil, err
	}
	opening := int(s.opening.Add(1))
	defer s.opening.Add(-1)
	if ys.NumStreams()+opening > s.cfg.MaxEgress { // those that the peer has not seen the end of, too
		return nil, errTooManyEgress
	}
	if s.conn.Away() {
		return nil, errors.Join(ErrClosed, yamux.ErrRemoteGoAway)
	}
	deaf := time.AfterFunc(s.openTimeout(), func() { s.conn.Fail(ErrLiveness) })
	defer deaf.Stop()
	st, err := openStream(ctx, ys)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.SetDeadline(past) })
	err = askEgress(st, target)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return &egressConn{Conn: st}, nil
	}
	cut(st)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("open egress: %w", context.Cause(ctx))
	case errors.Is(err, ErrRefused), errors.Is(err, ErrUnreachable), errors.Is(err, ErrProtocol):
		return nil, err
	case s.Err() != nil:
		return nil, ErrClosed
	}
	return nil, errors.Join(ErrUnreachable, err)
}

// openTimeout is how long a parent may take to answer an egress stream, which it does within the times that it has for
// reading the target, for connecting and for writing, whatever comes of it. One that does not loses the session: no
// stream's failure may leave a session half alive.
func (s *Server) openTimeout() time.Duration { return s.cfg.HelloTimeout + 2*s.cfg.WriteTimeout }

// Egress is how many egress streams are open, or ended here and not yet by the parent.
func (s *Server) Egress() int { return s.library.streams() }

// awaitEnd waits for the end of the library's session, whose streams this side opens.
func awaitEnd(ys *yamux.Session) error {
	_, err := ys.AcceptStream()
	return err
}

var errTooManyEgress = fmt.Errorf("%w: too many are open", ErrRefused)

// openStream opens a yamux stream within ctx, which yamux does not know: it waits when the peer accepts none.
func openStream(ctx context.Context, ys *yamux.Session) (net.Conn, error) {
	type opened struct {
		st  net.Conn
		err error
	}
	ch := make(chan opened, 1)
	go func() {
		st, err := ys.Open()
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
	_ = c.SetDeadline(past) // cannot fail
	return c.Conn.Close()
}
