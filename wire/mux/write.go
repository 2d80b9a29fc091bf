package mux

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// This file writes to the socket. The writing goroutine, which holds w, gathers whole frames from the streams and the
// pipe, at most MaxWrite bytes, and writes them at once. A goroutine with something to send marks the stream dirty and
// sets want. Then w is taken by the reading goroutine, by the caller or by the writer (see Say). Only the writer waits
// for w or for a full socket.

const (
	// rounds is how many writes one does, for others too, before it leaves the rest to the writer.
	rounds = 4
	// companyWrites is for how many writes the writer remembers that callers came together.
	companyWrites = 64
)

// writing is protected by w, but for the atomic fields and wakeup.
type writing struct {
	w    sync.Mutex
	out  []byte // being written, at most MaxWrite
	turn int    // whose turn it is to be gathered first

	want    atomic.Bool // some stream has something to say
	opens   atomic.Bool // streams are being opened, which happens in the order of their numbers
	wakeup  chan struct{}
	company atomic.Int32
}

// Say sends what was queued for the stream. The reading goroutine writes it, if it is about to look for more to read
// anyway. Else the caller writes it, if it is alone. Else the writer does, together with what others say meanwhile.
func (s *Stream) Say() {
	s.dirty.Store(true)
	s.c.say()
}

func (c *Conn) say() {
	c.want.Store(true)
	switch {
	case c.dispatching.Load():
	case c.cfg.Alone():
		c.resume()
	default:
		c.wakeWriter()
	}
}

func (c *Conn) wakeWriter() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// settle is called by the reading goroutine when it has handled all that it had read. It clears dispatching first: what
// others say from now on is not left to the reading goroutine.
func (c *Conn) settle() {
	if c.dispatching.Load() {
		c.dispatching.Store(false)
	}
	c.resume()
}

// resume writes, as far as it goes without waiting, what there is to say. When another writes, that one looks at want
// again.
func (c *Conn) resume() {
	for c.want.Load() {
		if !c.w.TryLock() {
			return
		}
		rest, err := c.writeLocked(false)
		if err != nil {
			c.Fail(closedBy(err))
			return
		}
		if rest {
			c.wakeWriter()
			return
		}
	}
}

// writer writes when nobody else does it at once.
func (c *Conn) writer() error {
	for {
		select {
		case <-c.wakeup:
		case <-c.ended:
			return nil
		}
		for {
			c.stepBack()
			c.w.Lock()
			if _, err := c.writeLocked(true); err != nil {
				return closedBy(err)
			}
			if !c.want.Load() {
				break
			}
		}
	}
}

// stepBack lets other goroutines that are about to run say what they have, so that it is written once.
func (c *Conn) stepBack() {
	if n := c.company.Load(); n > 0 {
		c.company.Store(n - 1)
		runtime.Gosched()
	}
}

// writeLocked calls write and releases w.
func (c *Conn) writeLocked(wait bool) (rest bool, err error) {
	defer c.w.Unlock()
	return c.write(wait)
}

// write gathers and writes until nothing is left or, without wait, the socket is full or it has been at it for long.
// w is held.
func (c *Conn) write(wait bool) (rest bool, err error) {
	for i := 0; wait || i < rounds; i++ {
		if full, err := c.flush(wait); full || err != nil {
			return full, err
		}
		c.want.Store(false)
		if c.out = c.gather(c.out); len(c.out) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// gather appends what streams and the pipe have to say, as much as one write takes. The one that begins changes, so
// that none waits for more than one write of another's. w is held.
func (c *Conn) gather(out []byte) []byte {
	out = c.pongs.take(out)
	if c.opens.Load() && c.opens.Swap(false) {
		c.turn = 0
	}
	all := *c.streams.Load()
	frames := 0
	at := c.turn
	for range len(all) + 1 {
		if at++; at > len(all) {
			at = 0
		}
		var n int
		var more bool
		switch {
		case at == 0 && c.pipe.dirty.Load():
			out, more = c.pipe.take(out, MaxWrite-len(out))
		case at > 0 && all[at-1].dirty.Load():
			out, n, more = all[at-1].take(out, MaxWrite-len(out))
		}
		if more {
			c.want.Store(true)
		}
		frames += n
	}
	if c.turn++; c.turn > len(all) {
		c.turn = 0
	}
	if frames > 1 {
		c.company.Store(companyWrites)
	}
	return out
}

// flush writes out and wipes what it wrote. Without wait it may leave a rest, and says so. w is held.
func (c *Conn) flush(wait bool) (full bool, err error) {
	if len(c.out) == 0 {
		return false, nil
	}
	n := 0
	if c.raw != nil {
		if n, err = c.raw.TryWrite(c.out); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) { // the writer's, that has just failed for it
				err = ErrWriteTimeout
			}
			return false, err
		}
	}
	if n < len(c.out) && wait {
		if err := c.writeWaiting(c.out[n:]); err != nil {
			return false, err
		}
		n = len(c.out)
	}
	rest := copy(c.out, c.out[n:])
	clear(c.out[rest:])
	c.out = c.out[:rest]
	return rest > 0, nil
}

func (c *Conn) writeWaiting(b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout)); err != nil {
		return err
	}
	if _, err := c.net.Write(b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrWriteTimeout
		}
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

func (c *Conn) wipeOut() {
	clear(c.out[:cap(c.out)])
	c.out = c.out[:0]
}
