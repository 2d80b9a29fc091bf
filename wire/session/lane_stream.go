package session

import (
	"sync/atomic"
	"time"
)

// laneStream is a yamux stream that this package serves itself: a client's stream beside the control stream. The bytes
// on the wire are those of any yamux stream; but who has something to say writes it, and what arrives is handled where
// it was read, where the library would pass both through goroutines and buffers of its own.
type laneStream struct {
	laneParts
	id uint32

	// Said by the mux when it writes for this stream the next time.
	dirty atomic.Bool   // there is something to write, or may be
	flags atomic.Uint32 // muxSYN, muxACK or muxFIN
	grant atomic.Uint32 // by how much the peer's window grows
	// window is how many bytes the peer still takes.
	window atomic.Int64

	// Of the reader.
	left     uint32 // bytes that the peer may still send
	consumed uint32 // handled since the last grant
	pre      []byte // the preamble, as far as it has come; nil: none is awaited
	opened   atomic.Int64
	dead     bool // of a type we do not know: what comes is dropped
}

// newLaneStream makes a stream that says flags, and grants what streamWindow has more than the initial window.
func newLaneStream(id uint32, flags uint32, parts laneParts) *laneStream {
	l := &laneStream{laneParts: parts, id: id, left: streamWindow}
	l.window.Store(muxInitialWindow)
	l.flags.Store(flags)
	l.grant.Store(streamWindow - muxInitialWindow)
	l.dirty.Store(true)
	return l
}

// take appends frames for what the stream has to say, up to limit bytes. more says that it has more, and a window for
// it.
func (l *laneStream) take(out []byte, limit int) (b []byte, frames int, more bool) {
	if !l.dirty.Swap(false) {
		return out, 0, false
	}
	if limit < 2*muxHeaderSize {
		l.dirty.Store(true)
		return out, 0, true
	}
	if flags, grant := l.flags.Swap(0), l.grant.Swap(0); flags != 0 || grant != 0 {
		out = appendMuxHeader(out, muxHeader{kind: muxWindow, flags: uint16(flags), stream: l.id, length: grant})
		limit -= muxHeaderSize
	}
	head := len(out)
	window := int(min(l.window.Load(), pieceSize))
	out = appendMuxHeader(out, muxHeader{kind: muxData, stream: l.id})
	out, frames, left := l.q.take(out, min(limit-muxHeaderSize, window))
	n := len(out) - head - muxHeaderSize
	if n == 0 {
		out = out[:head]
	} else {
		appendMuxHeader(out[:head], muxHeader{kind: muxData, stream: l.id, length: uint32(n)})
		l.window.Add(-int64(n))
	}
	l.progress(n > 0, left)
	if left && l.window.Load() > 0 {
		l.dirty.Store(true)
		return out, frames, true
	}
	return out, frames, false
}

// progress keeps since when what waits could not be written.
func (l *laneStream) progress(some, left bool) {
	since := &l.q.since
	switch {
	case !left:
		if since.Load() != 0 {
			since.Store(0)
		}
	case some || since.Load() == 0:
		since.Store(ticks(time.Now()))
	}
}

// header takes a header of the peer's.
func (l *laneStream) header(h muxHeader) error {
	if h.kind == muxData {
		if h.length > l.left {
			return ErrProtocol
		}
		l.left -= h.length
	} else if l.window.Add(int64(h.length)) > muxMaxWindow {
		return ErrProtocol
	}
	if h.flags&(muxFIN|muxRST) != 0 {
		return ErrClosed
	}
	return nil
}

// data takes bytes of the stream, and reports whether it has something to say now.
func (l *laneStream) data(b []byte, now time.Time) (say bool, err error) {
	if l.dead {
		return false, nil
	}
	l.consumed += uint32(len(b))
	if l.consumed >= streamWindow/2 {
		l.left += l.consumed
		l.grant.Add(l.consumed)
		l.consumed = 0
		l.dirty.Store(true)
		say = true
	}
	return say, l.in.feed(b, now)
}
