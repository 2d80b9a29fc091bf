package session

import (
	"sync/atomic"
	"time"

	"redoubt/wire"
)

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
		if ns := ticks(p.since); first == 0 || ns < first {
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
