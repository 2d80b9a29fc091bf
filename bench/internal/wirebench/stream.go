package wirebench

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/hashicorp/yamux"

	"redoubt/bench/internal/measure"
)

var errAnswer = errors.New("the answer is not the request")

func check(answer []byte) error {
	if len(answer) != Body {
		return errAnswer
	}
	return nil
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

// acceptAll gives each connection to a goroutine, until the listener is closed.
func acceptAll(ln net.Listener, each func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go each(c)
	}
}

func muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput, c.EnableKeepAlive = io.Discard, false
	return c
}

func serveStream(ln net.Listener) {
	acceptAll(ln, func(c net.Conn) {
		s, err := yamux.Server(c, muxConfig())
		if err != nil {
			return
		}
		acceptAll(s, func(st net.Conn) {
			defer func() { _ = st.Close() }()
			var b [Body]byte
			if _, err := io.ReadFull(st, b[:]); err == nil {
				_, _ = st.Write(b[:])
			}
		})
	})
}

// dialStream opens a stream on one session for each request.
func dialStream(ctx context.Context, socket string) (func() measure.Trip, func(), error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	s, err := yamux.Client(conn, muxConfig())
	if err != nil {
		return nil, nil, err
	}
	caller := func() measure.Trip {
		b := make([]byte, Body)
		return func() error {
			st, err := s.Open()
			if err != nil {
				return err
			}
			defer func() { _ = st.Close() }()
			if _, err := st.Write(b); err != nil {
				return err
			}
			_, err = io.ReadFull(st, b)
			return err
		}
	}
	return caller, func() { _ = s.Close() }, nil
}
