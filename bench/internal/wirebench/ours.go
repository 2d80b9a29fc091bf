package wirebench

import (
	"context"
	"net"

	"redoubt/bench/internal/measure"
	"redoubt/wire"
	"redoubt/wire/session"
)

// echo answers each request with its own body, on the lane's reader, as an enclave answers hot requests.
type echo struct{}

func (echo) Request(r *session.Request) {
	// If the session has ended, nobody waits for the answer.
	_ = r.Responder.Send(wire.KindDecrypted, append(r.Responder.Buffer(len(r.Body)), r.Body...))
}
func (echo) Credentials(*wire.Credentials) error            { return nil }
func (echo) Purge(*wire.Purge) (wire.Purged, error)         { return wire.Purged{}, nil }
func (echo) Pong() wire.Pong                                { return wire.Pong{Health: wire.HealthReady} }
func (echo) Stats(*wire.Stats)                              {}
func (echo) Attest(context.Context, []byte) ([]byte, error) { return nil, nil }
func (echo) OpenDomain(context.Context, []byte) error       { return nil }
func (echo) Panicked(any)                                   {}

func serveOurs(ln net.Listener) {
	acceptAll(ln, func(c net.Conn) {
		s, err := session.NewServer(context.Background(), c, session.ServerConfig{Handler: echo{}})
		if err == nil {
			<-s.Done()
		}
	})
}

func dialOurs(ctx context.Context, socket string) (func() measure.Trip, func(), error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	c, err := session.NewClient(ctx, conn, session.ClientConfig{})
	if err != nil {
		return nil, nil, err
	}
	payload := make([]byte, Body)
	caller := func() measure.Trip {
		call := c.NewCall()
		return func() error {
			call.Body = append(call.Body[:0], payload...)
			if err := c.Do(context.Background(), call); err != nil {
				return err
			}
			return check(call.Answer)
		}
	}
	return caller, func() { _ = c.Close() }, nil
}
