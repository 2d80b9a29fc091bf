package session

import (
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file makes messages of a stream's bytes. It belongs to the goroutine that handles the stream: to the reading
// goroutine for a lane, to the worker for the control stream. The watchdog reads the two times, which are atomic.

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
		c.since.Store(mux.Ticks(now))
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

// wipe drops and wipes what is half received.
func (in *inbox) wipe() {
	in.cut.wipe()
	in.as.drop()
}

// assembler joins the chunks of long messages. Frames of several messages may alternate. It grows with what arrives
// and believes no announced length; messages, bytes in all and bytes of one are bounded.
type assembler struct {
	parts    map[uint64]*partial
	bytes    int
	since    atomic.Int64 // since when the message that waits longest is incomplete, in ticks; 0: none
	maxBytes int
	maxBody  int
	maxParts int
	budget   *Budget
}

type partial struct {
	kind  wire.Kind
	head  wire.Header
	buf   []byte
	size  int
	since time.Time
	skip  bool // drop it: nobody waits for it
	full  bool // drop it: the budget has no room for it
}

func newAssembler(maxBody, maxBytes, maxParts int) *assembler {
	return &assembler{parts: map[uint64]*partial{}, maxBody: maxBody, maxBytes: maxBytes, maxParts: maxParts}
}

// add takes a frame. A message for which there was no room ends with done and no owned.
// owned is nil when the frame is a whole message by itself (which body then is); else done says
// whether owned, a pool buffer that now belongs to the caller, is the whole message.
// wanted, when not nil, is asked once for each message of several frames: false drops it as it comes.
func (a *assembler) add(h wire.Header, body []byte, now time.Time, wanted func(id uint64) bool) (
	head wire.Header, owned []byte, whole, done bool, err error,
) {
	p := a.parts[h.ID]
	if p == nil {
		if h.Flags&wire.FlagMore == 0 {
			return h, nil, true, true, nil
		}
		if len(a.parts) >= a.maxParts {
			return h, nil, false, false, ErrProtocol
		}
		p = &partial{kind: h.Kind, head: h, since: now, skip: wanted != nil && !wanted(h.ID)}
		a.parts[h.ID] = p
		a.oldest()
	}
	if h.Kind != p.kind {
		return h, nil, false, false, ErrProtocol
	}
	if err := a.grow(p, body); err != nil {
		return h, nil, false, false, err
	}
	if h.Flags&wire.FlagMore != 0 {
		return h, nil, false, false, nil
	}
	delete(a.parts, h.ID)
	a.oldest()
	a.bytes -= len(p.buf)
	a.budget.give(cap(p.buf)) // it is the receiver's from here on
	if p.skip {
		return h, nil, false, false, nil
	}
	return p.head, p.buf, false, true, nil
}

func (a *assembler) grow(p *partial, body []byte) error {
	if p.size += len(body); p.size > a.maxBody {
		return ErrProtocol
	}
	if p.skip || p.full {
		return nil
	}
	if a.bytes+len(body) > a.maxBytes {
		return ErrProtocol
	}
	n := p.size
	if cap(p.buf) < n && !a.enlarge(p, n) {
		return nil
	}
	p.buf = append(p.buf, body...)
	a.bytes += len(body)
	return nil
}

// enlarge makes room for n bytes, or gives the message up.
func (a *assembler) enlarge(p *partial, n int) bool {
	p.full = !a.budget.take(bufferSize(n))
	old := p.buf
	if p.full {
		a.bytes -= len(old)
		p.buf = nil
	} else {
		p.buf = append(getBuffer(n), old...)
	}
	if old != nil {
		a.budget.give(cap(old))
		putBuffer(old)
	}
	return !p.full
}

// oldest publishes when the first frame of the message that waits longest arrived.
func (a *assembler) oldest() {
	var first int64
	for _, p := range a.parts {
		if ns := mux.Ticks(p.since); first == 0 || ns < first {
			first = ns
		}
	}
	a.since.Store(first)
}

// drop wipes all that is half received.
func (a *assembler) drop() {
	for id, p := range a.parts {
		if p.buf != nil {
			a.budget.give(cap(p.buf))
			putBuffer(p.buf)
		}
		delete(a.parts, id)
	}
	a.bytes = 0
}
