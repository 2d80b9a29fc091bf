package mux

import (
	"sync/atomic"
	"time"

	"redoubt/wire/yamuxframe"
)

// This file is a stream with its two windows. The last group of a stream's fields is protected by r. Callers, the
// reading and the writing goroutine share the atomic fields. h does not change after Open or Await.

// Handler is what a stream carries. It MUST NOT wait in any method.
type Handler interface {
	// Data takes bytes that came at the time given, on the reading goroutine. They are borrowed: they are wiped when it
	// returns. Its error ends the connection.
	Data(b []byte, at time.Time) error
	// Take appends at most limit bytes of what there is to send, on the writing goroutine. frames is how many messages
	// were added since the last time: whether callers come together is told by them. left says that there is more.
	Take(dst []byte, limit int) (out []byte, frames int, left bool)
	// Check is the watchdog's look. Its error ends the connection.
	Check(now time.Time) error
	// Ended says that the connection has, for the reason err: it wipes what waits to be sent and tells those that wait. It
	// may be called more than once, on any goroutine, and beside Data and Take.
	Ended(err error)
	// Wipe wipes what was received. It is the last call.
	Wipe()
}

// Stream is one stream of our kind. On the wire it is any yamux stream. But a goroutine that has something to send may
// write it itself, and what comes is handled by the goroutine that read it.
type Stream struct {
	c  *Conn
	id uint32
	h  Handler

	// The writing goroutine sends these the next time it writes.
	dirty atomic.Bool   // there is something to write, or may be
	flags atomic.Uint32 // SYN, ACK or FIN
	grant atomic.Uint32 // by how much the peer's window grows
	// window is how many bytes the peer still takes.
	window atomic.Int64
	// since is since when there was no progress in writing what waits, in ticks; 0: nothing waits.
	since atomic.Int64
	// credit is what was handled of a stream that is credited by its handler and not yet given back; back what was given
	// back and not yet added to left.
	credit, back atomic.Uint32

	// Of the reader.
	size     uint32 // the window that the peer is given
	left     uint32 // bytes that the peer may still send
	consumed uint32 // handled since the last grant
	awaited  bool   // the peer has not opened it
	refused  bool   // what comes is dropped
	byHand   bool   // the handler calls Credit
}

// NewStream makes a stream that nobody sees yet: Open or Await follows. The peer may send size bytes ahead on it.
func (c *Conn) NewStream(id, size uint32) *Stream {
	s := &Stream{c: c, id: id, size: size, left: size}
	s.window.Store(yamuxframe.InitialWindow)
	s.grant.Store(size - yamuxframe.InitialWindow)
	return s
}

// CreditByHand makes the handler give back the peer's window, by Credit, when it is through with what it took,
// instead of when Data returns. It is for before Open or Await.
func (s *Stream) CreditByHand() { s.byHand = true }

// ID is the stream's number.
func (s *Stream) ID() uint32 { return s.id }

// Open opens a stream from this side. What it says first goes out with the next write.
func (c *Conn) Open(s *Stream, h Handler) {
	s.h = h
	s.flags.Store(uint32(yamuxframe.SYN))
	s.dirty.Store(true)
	c.add(s)
	c.opens.Store(true)
	c.want.Store(true)
}

// Await makes a stream that the peer is to open.
func (c *Conn) Await(s *Stream, h Handler) {
	s.h = h
	s.awaited = true
	c.add(s)
}

// add makes the reader, the writer and the watchdog see a stream.
func (c *Conn) add(s *Stream) {
	c.streamsM.Lock()
	defer c.streamsM.Unlock()
	old := *c.streams.Load()
	all := append(old[:len(old):len(old)], s)
	c.streams.Store(&all)
	if err := c.Err(); err != nil {
		s.h.Ended(err)
	}
}

// forget drops a stream that was refused and that the peer has closed too.
func (c *Conn) forget(s *Stream) {
	c.streamsM.Lock()
	defer c.streamsM.Unlock()
	var all []*Stream
	for _, o := range *c.streams.Load() {
		if o != s {
			all = append(all, o)
		}
	}
	c.streams.Store(&all)
	s.h.Ended(ErrClosed)
	s.h.Wipe()
}

// Refuse closes this side of a stream and drops what still comes. It is for a handler's Data.
func (s *Stream) Refuse() {
	s.refused = true
	s.flags.Or(uint32(yamuxframe.FIN))
	s.dirty.Store(true)
	s.c.want.Store(true)
}

// header takes a header of the peer's.
func (s *Stream) header(h yamuxframe.Header) error {
	if h.Has(yamuxframe.SYN) != s.awaited {
		return ErrProtocol
	}
	if s.awaited {
		s.awaited = false
		s.flags.Or(uint32(yamuxframe.ACK))
		s.dirty.Store(true)
		s.c.want.Store(true)
	}
	if h.Kind == yamuxframe.Data {
		if h.Length > s.left {
			if s.left += s.back.Swap(0); h.Length > s.left {
				return ErrProtocol
			}
		}
		s.left -= h.Length
	} else if s.window.Add(int64(h.Length)) > yamuxframe.MaxWindow {
		return ErrProtocol
	}
	if h.Has(yamuxframe.FIN | yamuxframe.RST) {
		return ErrClosed
	}
	return nil
}

// data takes bytes of the stream.
func (s *Stream) data(b []byte, at time.Time) error {
	if s.refused {
		return nil
	}
	if !s.byHand {
		s.consumed += uint32(len(b))
		if s.consumed >= s.size/2 {
			s.left += s.consumed
			s.grant.Add(s.consumed)
			s.consumed = 0
			s.dirty.Store(true)
			s.c.want.Store(true)
		}
	}
	return s.h.Data(b, at)
}

// Credit gives back n bytes of the window. One goroutine at a time may call it.
func (s *Stream) Credit(n int) {
	owed := s.credit.Load() + uint32(n)
	if owed < s.size/2 {
		s.credit.Store(owed)
		return
	}
	s.credit.Store(0)
	s.back.Add(owed)
	s.grant.Add(owed)
	s.Say()
}

// take appends frames for what the stream has to say, up to limit bytes. more says that it has more, and a window for
// it. It is for the writing goroutine, when the stream is dirty.
func (s *Stream) take(out []byte, limit int) (b []byte, frames int, more bool) {
	s.dirty.Store(false)
	if limit < 2*yamuxframe.HeaderSize {
		s.dirty.Store(true)
		return out, 0, true
	}
	if flags, grant := s.flags.Swap(0), s.grant.Swap(0); flags != 0 || grant != 0 {
		out = yamuxframe.Append(out, yamuxframe.Header{
			Kind: yamuxframe.Window, Flags: yamuxframe.Flags(flags), Stream: s.id, Length: grant,
		})
		limit -= yamuxframe.HeaderSize
	}
	head := len(out)
	window := int(min(s.window.Load(), MaxWrite))
	out = yamuxframe.Append(out, yamuxframe.Header{Kind: yamuxframe.Data, Stream: s.id})
	out, frames, left := s.h.Take(out, min(limit-yamuxframe.HeaderSize, window))
	n := len(out) - head - yamuxframe.HeaderSize
	if n == 0 {
		out = out[:head]
	} else {
		yamuxframe.Append(out[:head], yamuxframe.Header{Kind: yamuxframe.Data, Stream: s.id, Length: uint32(n)})
		s.window.Add(-int64(n))
	}
	s.progress(n > 0, left)
	if left && s.window.Load() > 0 {
		s.dirty.Store(true)
		return out, frames, true
	}
	return out, frames, false
}

// progress keeps since when what waits could not be written.
func (s *Stream) progress(some, left bool) {
	switch {
	case !left:
		if s.since.Load() != 0 {
			s.since.Store(0)
		}
	case some || s.since.Load() == 0:
		s.since.Store(Ticks(time.Now()))
	}
}
