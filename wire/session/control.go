package session

import (
	"sync"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is the control stream, on both sides. The peer's hello comes first on it. The reading goroutine of mux
// handles the hello. All bytes after it wait in a buffer of this package for a goroutine of the control stream, the
// worker: credentials, purges and statistics take locks and time, and no lane shall wait for them. The window of the
// stream bounds the buffer.
//
// greeting belongs to the reading goroutine, the inbox to the worker. mu protects what waits, and is taken last.

// maxControlParts bounds the long messages that are half received on a control stream.
const maxControlParts = 8

// control is the stream of control messages.
type control struct {
	framed
	greeting *greeting                 // nil: the hello has come
	greet    func(m *wire.Hello) error // told of the hello, on the reader
	ended    func(err error)           // beside what framed does; may be nil

	mu    sync.Mutex
	waits []byte
	wake  chan struct{}
}

func newControl(conn *mux.Conn, cfg *Config, preamble bool) control {
	st := conn.NewStream(mux.FirstID, controlWindow)
	st.CreditByHand()
	return control{
		framed: newFramed(st, cfg, maxControlParts), greeting: newGreeting(preamble), wake: make(chan struct{}, 1),
	}
}

// Data implements mux.Handler.
func (c *control) Data(b []byte, _ time.Time) error {
	if c.greeting != nil {
		size := len(b)
		m, rest, err := c.greeting.feed(b)
		if m == nil || err != nil {
			return err
		}
		c.greeting = nil
		if err := c.greet(m); err != nil {
			return err
		}
		if b = rest; len(rest) < size {
			c.st.Credit(size - len(rest))
		}
	}
	if len(b) == 0 {
		return nil
	}
	c.mu.Lock()
	c.waits = append(enlarged(c.waits, len(b)), b...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// enlarged makes room for n more bytes in a pool buffer.
func enlarged(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	more := append(getBuffer(len(b)+n), b...)
	if b != nil {
		putBuffer(b)
	}
	return more
}

// work handles what waits, until the session ends.
func (c *control) work(ended <-chan struct{}) func() error {
	return func() error {
		for {
			select {
			case <-ended:
				return nil
			case <-c.wake:
			}
			if err := c.handleWaiting(); err != nil {
				return err
			}
		}
	}
}

func (c *control) handleWaiting() error {
	c.mu.Lock()
	b := c.waits
	c.waits = nil
	c.mu.Unlock()
	if b == nil {
		return nil
	}
	defer putBuffer(b)
	if err := streamErr(c.in.feed(b, time.Now())); err != nil {
		return err
	}
	c.st.Credit(len(b))
	return nil
}

// Ended implements mux.Handler.
func (c *control) Ended(err error) {
	c.framed.Ended(err)
	if c.ended != nil {
		c.ended(err)
	}
}

// Wipe implements mux.Handler.
func (c *control) Wipe() {
	c.framed.Wipe()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits != nil {
		putBuffer(c.waits)
	}
	c.waits = nil
}

// tokens is a rate limit of one goroutine's, or under a lock: a bucket that holds what a second brings.
type tokens struct {
	left float64
	last time.Time
}

func (t *tokens) take(now time.Time, perSecond int) bool {
	if t.last.IsZero() {
		t.left = float64(perSecond)
	} else if d := now.Sub(t.last); d > 0 {
		t.left = min(float64(perSecond), t.left+d.Seconds()*float64(perSecond))
	}
	t.last = now
	if t.left < 1 {
		return false
	}
	t.left--
	return true
}
