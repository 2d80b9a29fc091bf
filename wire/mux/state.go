package mux

import "redoubt/wire/yamuxframe"

// State is how far a connection has come. It only ever moves down the list. It is one atomic value, which the reading
// goroutine looks at for each frame. Moving it takes no lock.
type State int32

// The states of a connection.
const (
	// New: the peer's hello has not come.
	New State = iota
	// Greeted: the peer's hello has come, and it is refused. Queued frames are written, so that the peer learns why.
	// Frames that come are dropped.
	Greeted
	// Open: both sides have said hello.
	Open
	// Draining: one side takes no new work. On the wire all goes on, so that work in hand can end.
	Draining
	// Ended: the connection is closed.
	Ended

	states
)

// class is what a frame is to the state table.
type class int

const (
	ping           class = iota // a ping, or the answer to one
	goAway                      // a go-away
	first                       // data or window of the first stream, SYN included
	ours                        // data or window of another odd stream that is open
	oursOpening                 // the SYN of another odd stream
	foreign                     // data or window of an even stream
	foreignOpening              // the SYN of an even stream
	nonsense                    // another version, kind, or stream 0 for data

	classes
)

// verdict is what becomes of a frame. The zero value is the strict one.
type verdict int

const (
	end  verdict = iota // the peer has broken the protocol
	drop                // the frame, and its data, is passed over
	take
)

// verdicts is the state table: what a connection takes from its peer, by state.
var verdicts = [states][classes]verdict{
	New:      {ping: take, first: take},
	Greeted:  {ping: take, goAway: drop, first: drop, ours: drop, oursOpening: drop, foreign: drop, foreignOpening: drop},
	Open:     {ping: take, goAway: take, first: take, ours: take, oursOpening: take, foreign: take, foreignOpening: take},
	Draining: {ping: take, goAway: take, first: take, ours: take, oursOpening: take, foreign: take, foreignOpening: take},
	Ended:    {},
}

// classOf tells what a frame is.
func classOf(h yamuxframe.Header) class {
	if h.Version != yamuxframe.Version {
		return nonsense
	}
	switch h.Kind {
	case yamuxframe.Ping:
		return ping
	case yamuxframe.GoAway:
		return goAway
	case yamuxframe.Data, yamuxframe.Window:
	default:
		return nonsense
	}
	opens := h.Has(yamuxframe.SYN)
	switch {
	case h.Stream == FirstID:
		return first
	case h.Stream == 0:
		return nonsense
	case h.Stream&1 == 1 && opens:
		return oursOpening
	case h.Stream&1 == 1:
		return ours
	case opens:
		return foreignOpening
	}
	return foreign
}

// State is the state that the connection is in.
func (c *Conn) State() State { return State(c.state.Load()) }

// Move moves a connection on, and reports whether it did: New to Greeted or Open, Open to Draining.
func (c *Conn) Move(to State) bool {
	switch to {
	case Greeted:
		return c.state.CompareAndSwap(int32(New), int32(Greeted))
	case Open:
		if !c.state.CompareAndSwap(int32(New), int32(Open)) {
			return false
		}
		close(c.opened)
		return true
	case Draining:
		return c.state.CompareAndSwap(int32(Open), int32(Draining))
	case New, Ended, states:
	}
	return false
}

// Drained reports whether the connection is draining, or was when it ended.
func (c *Conn) Drained() bool {
	s := c.State()
	return s == Draining || s == Ended && c.drained.Load()
}

// Opened is closed when the connection comes to be open.
func (c *Conn) Opened() <-chan struct{} { return c.opened }
