package mux

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/yamuxframe"
)

// This file reads the socket. The reading goroutine, which holds r, reads and handles what it read. It is the reader,
// which waits for the socket without r, or a caller that polls (poll.go). A goroutine that holds r does not wait, with
// one exception: the reader may wait for room in the pipe of foreign streams.

// reading is protected by r, but for the atomic fields.
type reading struct {
	r        sync.Mutex
	wanted   atomic.Bool // the reader wants r: a caller leaves it alone, else the reader gets it a millisecond later
	in       []byte
	inR, inW int
	readErr  error
	arrived  time.Time
	body     int     // bytes to come of a data frame
	to       *Stream // whose; nil: nobody's, or the pipe's
	toPipe   bool
	blocked  bool // the pipe had no room: the reader goes on
	served   bool // data of lanes came since the reader waited last
	woken    bool // by wake

	ready func() bool // readable and fill, made once
	look  func() bool

	// dispatching is set while the reading goroutine has frames in hand: it writes what others say meanwhile.
	dispatching atomic.Bool
}

// reader reads until the connection ends.
func (c *Conn) reader() error {
	c.lockRead()
	defer c.r.Unlock()
	for {
		if err := c.handle(true); err != nil {
			return closedBy(err)
		}
		if err := c.more(); err != nil {
			return closedBy(err)
		}
	}
}

// lockRead is how the reader takes r.
func (c *Conn) lockRead() {
	c.wanted.Store(true)
	c.r.Lock()
	c.wanted.Store(false)
}

// handle hands out what has been read, and writes what there is to say. With wait, which is the reader's, it waits for
// room in the pipe. r is held.
func (c *Conn) handle(wait bool) (err error) {
	defer c.recovered(&err)
	if err := c.dispatch(wait); err != nil {
		c.Fail(err)
		return err
	}
	c.settle()
	return nil
}

// more waits until more has been read. r is held, but not while it waits.
func (c *Conn) more() error {
	if c.raw == nil {
		rest := c.compact()
		n, err := c.net.Read(c.in[rest:])
		if n <= 0 && err == nil {
			err = io.ErrUnexpectedEOF
		}
		c.filled(n, err)
		return c.readErr
	}
	if c.served && c.cfg.Idle != nil {
		if more, err := c.linger(); more || err != nil {
			return err
		}
	}
	c.served = false
	c.r.Unlock()
	err := c.raw.WaitRead(c.ready)
	c.lockRead()
	if c.woken {
		c.woken = false
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		err = errors.Join(err, c.net.SetReadDeadline(time.Time{}))
	}
	return errors.Join(err, c.readErr)
}

// linger looks for more for a while, where that pays.
func (c *Conn) linger() (more bool, err error) {
	defer c.recovered(&err)
	return c.cfg.Idle() && c.poll(requestPatience, c.look), nil
}

// wake ends the wait of the reader, now or when it comes to wait: what a caller has read of the socket wakes nobody,
// since epoll tells of no arrival that is gone when it looks. r is held.
func (c *Conn) wake() {
	c.woken = true
	if err := c.net.SetReadDeadline(time.Unix(1, 0)); err != nil && c.readErr == nil {
		c.readErr = err
	}
}

// readable is called when the socket may have something, without r. It reports whether there is something to do. It
// must not wait for r: Close waits for this call, and the goroutine that holds r may be about to close. The reader
// then takes r, and comes again.
func (c *Conn) readable() bool {
	if !c.r.TryLock() {
		return true
	}
	defer c.r.Unlock()
	if c.readErr != nil || c.blocked {
		return true
	}
	return c.fill() || c.readErr != nil
}

// Peek reads what there is, without waiting, and handles it, unless another does. It is for a caller that looks for
// its answer; what would have to wait is left to the reader.
func (c *Conn) Peek() {
	if c.wanted.Load() || !c.r.TryLock() {
		return
	}
	defer c.r.Unlock()
	if c.blocked || c.readErr != nil {
		return
	}
	if c.fill() {
		if err := c.handle(false); err != nil {
			c.readErr = err
		}
		c.compact()
	}
	if c.readErr != nil || c.blocked {
		c.wake()
	}
}

// fill reads what there is without waiting, and reports whether that is anything. r is held.
func (c *Conn) fill() bool {
	rest := c.compact()
	c.filled(c.raw.TryRead(c.in[rest:]))
	return c.inW > rest
}

// compact wipes what has been handled and moves what is left to the front.
func (c *Conn) compact() (rest int) {
	rest = copy(c.in, c.in[c.inR:c.inW])
	clear(c.in[rest:c.inW])
	c.inR, c.inW = 0, rest
	return rest
}

func (c *Conn) filled(n int, err error) {
	if n > 0 {
		c.inW += n
		c.arrived = time.Now()
		return
	}
	c.readErr = err
}

func (c *Conn) wipeIn() {
	clear(c.in)
	c.inR, c.inW = 0, 0
}

// dispatch hands out what has been read, until there is too little to go on, or the pipe has no room and wait is not
// set.
func (c *Conn) dispatch(wait bool) error {
	c.blocked = false
	for {
		if c.body > 0 && c.inR < c.inW {
			if err := c.hand(wait); err != nil || c.blocked {
				return err
			}
		}
		if c.body > 0 || c.inW-c.inR < yamuxframe.HeaderSize {
			return nil
		}
		h := yamuxframe.Parse(c.in[c.inR:c.inW])
		if err := c.header(h, wait); err != nil || c.blocked {
			return err
		}
		c.inR += yamuxframe.HeaderSize
		if h.Kind == yamuxframe.Data {
			c.body = int(h.Length)
		}
	}
}

// hand gives what there is of a data frame to whom it belongs.
func (c *Conn) hand(wait bool) error {
	n := min(c.body, c.inW-c.inR)
	b := c.in[c.inR : c.inR+n : c.inR+n]
	var err error
	switch {
	case c.to != nil:
		err = c.to.data(b, c.arrived)
	case c.toPipe:
		if n, err = c.pipe.put(b, wait); n < len(b) {
			c.blocked = true
		}
	}
	c.inR += n
	c.body -= n
	return err
}
