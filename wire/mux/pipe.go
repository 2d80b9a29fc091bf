package mux

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/yamuxframe"
)

// PipeSize is how many bytes a pipe holds, each way.
const PipeSize = 32 << 10

// Pipe is the connection of a library that serves the foreign streams, which have even numbers. The library sees their
// frames and no others. What it writes takes turns with everything else, in whole frames.
//
// mu protects its fields. The reading and the writing goroutine take it after r and w; the library takes it alone.
// Once the pipe is closed, its reads fail, and its writes succeed and go nowhere. So the library's receiving
// goroutine is the first to see the end. This matters for hashicorp/yamux: its Stream.Read spins from the end of the
// library's session until the receiving goroutine has ended.
type Pipe struct {
	c      *Conn
	opened atomic.Bool // there is a library
	dirty  atomic.Bool // something waits to be written

	mu      sync.Mutex
	moved   *sync.Cond // a field has changed
	closed  bool
	in      []byte // frames for the library
	inR     int
	hungry  bool // the library waits for more: it has handled all that it got
	out     []byte
	outR    int
	head    yamuxframe.Header // of the data frame that is being written
	left    uint32            // of its data
	pending bool              // head has not been written
}

func newPipe(c *Conn) *Pipe {
	p := &Pipe{c: c}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// Pipe is what a library is to be started on. Frames of foreign streams that came before are gone.
func (c *Conn) Pipe() *Pipe {
	c.pipe.opened.Store(true)
	return c.pipe
}

// Close implements io.Closer. It ends nothing but the pipe.
func (p *Pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	clear(p.in[:cap(p.in)])
	clear(p.out[:cap(p.out)])
	p.in, p.inR, p.out, p.outR = nil, 0, nil, 0
	p.left, p.pending = 0, false
	p.moved.Broadcast()
	return nil
}

// Read gives the library what came for it.
func (p *Pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.inR == len(p.in) && !p.closed {
		p.hungry = true
		p.moved.Broadcast()
		p.moved.Wait()
	}
	p.hungry = false
	if p.closed {
		return 0, io.EOF
	}
	n := copy(b, p.in[p.inR:])
	clear(p.in[p.inR : p.inR+n])
	if p.inR += n; p.inR == len(p.in) {
		p.in, p.inR = p.in[:0], 0
	}
	p.moved.Broadcast()
	return n, nil
}

// Write takes what the library has to send, and waits for room.
func (p *Pipe) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, ok := p.accept(b[done:])
		if !ok {
			break
		}
		done += n
		p.dirty.Store(true)
		p.c.say()
	}
	return len(b), nil
}

func (p *Pipe) accept(b []byte) (n int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out)-p.outR == PipeSize && !p.closed {
		p.moved.Wait()
	}
	if p.closed {
		return 0, false
	}
	if p.out == nil {
		p.out = make([]byte, 0, PipeSize)
	}
	if len(p.out)+len(b) > PipeSize && p.outR > 0 {
		rest := copy(p.out, p.out[p.outR:])
		clear(p.out[rest:])
		p.out, p.outR = p.out[:rest], 0
	}
	n = min(len(b), PipeSize-len(p.out))
	p.out = append(p.out, b[:n]...)
	return n, true
}

// take appends the library's frames, up to limit bytes. A data frame that does not fit, or has not wholly come, goes
// out as several. A go-away by which the library ends its session stays here: the connection ends as well, for the
// library's reason, and a peer that heard of it first would end it for another. It is for the writing goroutine.
func (p *Pipe) take(out []byte, limit int) (b []byte, more bool) {
	p.dirty.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	began := len(out)
	for {
		room, have := limit-(len(out)-began), len(p.out)-p.outR
		if p.left == 0 && !p.pending {
			if have < yamuxframe.HeaderSize {
				break
			}
			p.head, p.pending = yamuxframe.Parse(p.out[p.outR:]), true
			p.shift(yamuxframe.HeaderSize)
			if p.head.Kind == yamuxframe.GoAway && p.head.Length != yamuxframe.Normal {
				p.pending = false
				continue
			}
			if p.head.Kind == yamuxframe.Data {
				p.left = p.head.Length
			}
			continue
		}
		n := min(int(p.left), have, room-yamuxframe.HeaderSize)
		if n < 0 || n == 0 && p.left > 0 {
			if more = have > 0 || p.left == 0; more { // it wants room, else more of the library's
				p.dirty.Store(true)
			}
			break
		}
		if p.head.Kind == yamuxframe.Data {
			p.head.Length = uint32(n)
		}
		out = append(yamuxframe.Append(out, p.head), p.out[p.outR:p.outR+n]...)
		p.shift(n)
		p.left -= uint32(n)
		p.pending = false
		p.head.Flags = 0 // they went with the first part
	}
	if len(out) > began {
		p.moved.Broadcast()
	}
	return out, more
}

// shift wipes n bytes of out that have been taken.
func (p *Pipe) shift(n int) {
	clear(p.out[p.outR : p.outR+n])
	if p.outR += n; p.outR == len(p.out) {
		p.out, p.outR = p.out[:0], 0
	}
}

// put adds as much of b as has room to what the library is to read. With wait, which is the reader's, it waits until
// all of it has room. What comes for a library that has ended its session is dropped: why it did so is the library's
// to say. It is for the reading goroutine, as the two below.
func (p *Pipe) put(b []byte, wait bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n += p.add(b[n:])
		if p.closed {
			return len(b), p.c.Err()
		}
		if n == len(b) || !wait {
			return n, nil
		}
		if err := p.await(func() bool { return len(p.in)-p.inR < PipeSize }); err != nil {
			return n, err
		}
	}
}

// putHeader adds a header wholly or not at all.
func (p *Pipe) putHeader(b []byte, wait bool) (ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for PipeSize-(len(p.in)-p.inR) < len(b) && !p.closed {
		if !wait {
			return false, nil
		}
		if err := p.await(func() bool { return PipeSize-(len(p.in)-p.inR) >= len(b) }); err != nil {
			return false, err
		}
	}
	p.add(b)
	return true, nil
}

// drained reports whether the library has handled all that it was given. Without a library it has.
func (p *Pipe) drained(wait bool) (ok bool, err error) {
	if !p.opened.Load() {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	handled := func() bool { return p.hungry && p.inR == len(p.in) || p.closed }
	if wait && !handled() {
		if err := p.await(handled); err != nil {
			return false, err
		}
	}
	return handled(), nil
}

// add copies what has room. mu is held.
func (p *Pipe) add(b []byte) int {
	if p.closed || len(b) == 0 {
		return 0
	}
	if p.in == nil {
		p.in = make([]byte, 0, PipeSize)
	}
	if len(p.in)+len(b) > PipeSize && p.inR > 0 {
		rest := copy(p.in, p.in[p.inR:])
		clear(p.in[rest:])
		p.in, p.inR = p.in[:rest], 0
	}
	n := min(len(b), PipeSize-len(p.in))
	if n > 0 {
		p.in = append(p.in, b[:n]...)
		p.hungry = false
		p.moved.Broadcast()
	}
	return n
}

// await waits until ok, which the library brings about by reading, or the pipe is closed, for no longer than a write
// may take. mu is held, but not while it waits.
func (p *Pipe) await(ok func() bool) error {
	late := false
	stop := time.AfterFunc(p.c.cfg.WriteTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		late = true
		p.moved.Broadcast()
	})
	defer stop.Stop()
	for !ok() && !p.closed {
		if late {
			return ErrWriteTimeout
		}
		p.moved.Wait()
	}
	return nil
}
