package session

import (
	"errors"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is what control stream and lanes have in common. It takes no lock but that of the queue. Data, Take and
// Wipe run on the goroutines that package mux says.

const (
	// streamWindow is what a peer may send ahead on a lane, libraryWindow on a stream of the library's, which keeps it in
	// memory, and controlWindow on the control stream, where it waits for the worker.
	streamWindow  = 512 << 10
	libraryWindow = 256 << 10
	controlWindow = 256 << 10
	// maxErrorBody is room for the body of an error: a code and a varint of 32 bits.
	maxErrorBody = 8
	// maxUnknown bounds the frames and streams of unknown kind that a session bears.
	maxUnknown = 1000
)

// framed is what a stream of messages is made of: most of a mux.Handler. It adds no lock to those of its parts.
type framed struct {
	cfg *Config
	st  *mux.Stream
	q   *outQueue
	in  *inbox
}

// newFramed makes it for st, and for at most maxParts long messages at once.
func newFramed(st *mux.Stream, cfg *Config, maxParts int) framed {
	f := framed{cfg: cfg, st: st, q: newOutQueue(cfg.QueueBytes, st.Say), in: newInbox(cfg, maxParts)}
	f.q.budget = cfg.Budget
	return f
}

// newLane makes it for a lane with at most inFlight requests: an error to each always finds room.
func newLane(st *mux.Stream, cfg *Config, inFlight int) framed {
	f := newFramed(st, cfg, inFlight)
	f.q.spare = inFlight * (wire.HeaderSize + maxErrorBody)
	return f
}

// Data implements mux.Handler.
func (f *framed) Data(b []byte, at time.Time) error { return streamErr(f.in.feed(b, at)) }

// Take implements mux.Handler.
func (f *framed) Take(dst []byte, limit int) (out []byte, frames int, left bool) {
	return f.q.take(dst, limit)
}

// Check implements mux.Handler: neither a frame nor a message may stay half received.
func (f *framed) Check(now time.Time) error {
	if mux.Stuck(&f.in.cut.since, now, f.cfg.FrameTimeout) || mux.Stuck(&f.in.as.since, now, f.cfg.FrameTimeout) {
		return ErrLiveness
	}
	return nil
}

// Ended implements mux.Handler.
func (f *framed) Ended(err error) { f.q.close(err) }

// Wipe implements mux.Handler.
func (f *framed) Wipe() { f.in.wipe() }

// streamErr maps an error of what a stream carried to one of this package's.
func streamErr(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, ErrProtocol):
		return errors.Join(ErrProtocol, err)
	case errors.Is(err, ErrOverflow), errors.Is(err, ErrHello), errors.Is(err, ErrVersion):
		return err
	}
	return ErrClosed
}
