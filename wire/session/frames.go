package session

import (
	"io"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// cutter cuts a stream of bytes into frames. A frame that lies whole in what it is fed is handled there; only one that
// does not is gathered in memory of its own, which is wiped when the frame has been handled.
type cutter struct {
	part  []byte       // of a frame that has not wholly arrived
	since atomic.Int64 // since when, in ticks; 0: there is none
}

// feed takes the next bytes of the stream, which came at now. What handle gets is borrowed until it returns.
func (c *cutter) feed(b []byte, now time.Time, handle func(wire.Header, []byte) error) error {
	for len(b) > 0 {
		if len(c.part) == 0 && len(b) >= wire.HeaderSize {
			h, err := wire.ParseHeader(b)
			if err != nil {
				return err
			}
			if size := wire.HeaderSize + int(h.Length); len(b) >= size {
				if err := handle(h, b[wire.HeaderSize:size:size]); err != nil {
					return err
				}
				b = b[size:]
				continue
			}
		}
		var err error
		if b, err = c.gather(b, now, handle); err != nil {
			return err
		}
	}
	return nil
}

// gather adds to the frame that is half received, handles it when it is whole, and returns what follows it.
func (c *cutter) gather(b []byte, now time.Time, handle func(wire.Header, []byte) error) ([]byte, error) {
	if c.part == nil {
		c.part = make([]byte, 0, wire.HeaderSize+wire.MaxChunk)
	}
	if len(c.part) == 0 {
		c.since.Store(ticks(now))
	}
	b = c.until(wire.HeaderSize, b)
	if len(c.part) < wire.HeaderSize {
		return nil, nil
	}
	h, err := wire.ParseHeader(c.part) // bounds the length
	if err != nil {
		return nil, err
	}
	size := wire.HeaderSize + int(h.Length)
	b = c.until(size, b)
	if len(c.part) < size {
		return nil, nil
	}
	err = handle(h, c.part[wire.HeaderSize:size:size])
	c.wipe()
	return b, err
}

// until moves bytes from b to the part until it has size, and returns the others.
func (c *cutter) until(size int, b []byte) []byte {
	n := min(max(0, size-len(c.part)), len(b))
	c.part = append(c.part, b[:n]...)
	return b[n:]
}

func (c *cutter) wipe() {
	clear(c.part)
	c.part = c.part[:0]
	c.since.Store(0)
}

// inbox makes messages of a stream's bytes.
type inbox struct {
	cut     cutter
	as      *assembler
	arrived time.Time // when the bytes came that are being handled
	// wanted is asked before the chunks of a long message are gathered; nil wants all.
	wanted func(id uint64) bool
	// refused is told of a message for which there was no room; nil: it ends the session.
	refused func(h wire.Header) error
	// handle gets whole messages; body is borrowed when owned is false, else a pool buffer that handle must put back.
	handle func(h wire.Header, body []byte, owned bool) error

	take func(h wire.Header, body []byte) error // frame, made once
}

func newInbox(cfg *Config, maxParts int) *inbox {
	in := &inbox{as: newAssembler(int(cfg.Hello.MaxBody), wire.MaxAssembly, maxParts)}
	in.as.budget = cfg.Budget
	in.take = in.frame
	return in
}

// feed handles the messages that end in b.
func (in *inbox) feed(b []byte, now time.Time) error {
	in.arrived = now
	return in.cut.feed(b, now, in.take)
}

func (in *inbox) frame(h wire.Header, body []byte) error {
	head, buf, whole, done, err := in.as.add(h, body, in.arrived, in.wanted)
	switch {
	case err != nil:
		return err
	case whole:
		return in.handle(head, body, false)
	case done && buf == nil:
		if in.refused == nil {
			return ErrOverflow
		}
		return in.refused(head)
	case done:
		return in.handle(head, buf, true)
	}
	return nil
}

// run feeds the inbox from r until it ends.
func (in *inbox) run(r io.Reader) error {
	buf := make([]byte, frameBuffer)
	defer clear(buf)
	if w, ok := r.(wiper); ok {
		defer w.wipe()
	}
	for {
		n, err := r.Read(buf)
		if n > 0 {
			err = in.feed(buf[:n], time.Now())
			clear(buf[:n])
		} else if err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			return streamErr(err)
		}
	}
}

// frameBuffer holds a chunk with its header.
const frameBuffer = 32 << 10

// wipe drops and wipes what is half received.
func (in *inbox) wipe() {
	in.cut.wipe()
	in.as.drop()
}
