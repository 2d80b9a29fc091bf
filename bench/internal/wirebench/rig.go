// Package wirebench measures round trips between two processes over unix sockets, for bench: through our session, by
// a yamux stream for each request, by a connection for each request with the reference's framing, and by bare frames
// on the socket, which is the ceiling. (The reference is the AWS sample that Redoubt succeeds.)
//
// The four ways are driven in turns of a fraction of a second within one run, so that disturbances on the machine
// affect all alike. Ratios are medians over the turns.
package wirebench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"redoubt/bench/internal/measure"
)

// Body is the size of a request and of an answer, in bytes.
const Body = 400

// Role is this package's role of a child process.
const Role = "wire"

// Modes in the order in which they are shown.
const (
	Ours   = "ours"
	Stream = "stream-per-request"
	Conn   = "connection-per-request"
	Bare   = "bare"
)

// Modes lists them.
func Modes() []string { return []string{Ours, Bare, Stream, Conn} }

// dialer makes the parent's side of a mode: a function that makes callers, and one that ends it.
type dialer func(ctx context.Context, socket string) (caller func() measure.Trip, stop func(), err error)

// side is both sides of a mode.
type side struct {
	dial  dialer
	serve func(net.Listener) // until the listener is closed
}

var sides = map[string]side{
	Ours:   {dialOurs, serveOurs},
	Stream: {dialStream, serveStream},
	Conn:   {dialConn, serveConn},
	Bare:   {dialBare, serveBare},
}

// Config is what a child is told.
type Config struct {
	Mode   string `json:"mode"`
	Socket string `json:"socket"`
}

// Serve is the child: it listens and returns; connections are served until the process ends.
func Serve(c Config) (string, error) {
	s, ok := sides[c.Mode]
	if !ok {
		return "", errors.New("unknown mode")
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", c.Socket)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	go s.serve(ln)
	return "ready", nil
}

// rig is a mode ready to be driven.
type rig struct {
	mode   string
	server *measure.Child
	caller func() measure.Trip
	stop   func()
}

// newRig starts a mode's server in a process of its own and connects to it.
func newRig(ctx context.Context, dir, mode string) (*rig, error) {
	socket := filepath.Join(dir, mode[:2])
	var ready string
	server, err := measure.StartChild(ctx, Role, Config{Mode: mode, Socket: socket}, &ready)
	if err != nil {
		return nil, err
	}
	r := &rig{mode: mode, server: server}
	if r.caller, r.stop, err = sides[mode].dial(ctx, socket); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return r, nil
}

func (r *rig) close() error {
	r.stop()
	return r.server.Close()
}

// rigs starts all modes. The returned function ends them.
func rigs(ctx context.Context) (_ []*rig, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		return nil, nil, fmt.Errorf("sockets: %w", err)
	}
	var all []*rig
	stop = func() error {
		var errs []error
		for _, r := range all {
			errs = append(errs, r.close())
		}
		return errors.Join(append(errs, os.RemoveAll(dir))...)
	}
	for _, mode := range Modes() {
		r, err := newRig(ctx, dir, mode)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", mode, err), stop())
		}
		all = append(all, r)
	}
	return all, stop, nil
}
