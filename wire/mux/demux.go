package mux

import "redoubt/wire/yamuxframe"

// This file finds out whose a frame is. It runs on the reading goroutine, with r held.

// header takes a header and sets whose the data are that follow it. With c.blocked set it has not taken it.
func (c *Conn) header(h yamuxframe.Header, wait bool) error {
	c.to, c.toPipe = nil, false
	cl := classOf(h)
	switch verdicts[c.State()][cl] {
	case take:
	case drop:
		return nil
	case end:
		return ErrProtocol
	}
	switch cl {
	case ping:
		return c.takePing(h)
	case goAway:
		return c.takeGoAway(h)
	case first, ours, oursOpening:
		return c.takeOurs(h)
	case foreign, foreignOpening:
		return c.takeForeign(h, wait)
	case nonsense, classes:
	}
	return ErrProtocol
}

// takeGoAway: a peer that goes away in peace opens no new streams and takes none.
func (c *Conn) takeGoAway(h yamuxframe.Header) error {
	if h.Length != yamuxframe.Normal {
		return ErrProtocol
	}
	c.away.Store(true)
	return nil
}

// takeOurs takes a frame of the first stream or of a lane.
func (c *Conn) takeOurs(h yamuxframe.Header) error {
	if !c.dispatching.Load() {
		c.dispatching.Store(true)
	}
	s := c.streamOf(h.Stream)
	if s == nil {
		var err error
		if s, err = c.accept(h); err != nil {
			return err
		}
	}
	if err := s.header(h); err != nil {
		if err != ErrClosed || !s.refused { //nolint:errorlint // exactly this value
			return err
		}
		c.resume() // this side's end is still to be said
		c.forget(s)
	}
	if h.Kind == yamuxframe.Data {
		c.to, c.served = s, c.served || h.Stream != FirstID
	} else {
		s.dirty.Store(true)
		c.want.Store(true)
	}
	return nil
}

// accept takes a stream of our kind that the peer opens: only a client does so.
func (c *Conn) accept(h yamuxframe.Header) (*Stream, error) {
	if c.cfg.Accept == nil || !h.Has(yamuxframe.SYN) {
		return nil, ErrProtocol
	}
	s := c.NewStream(h.Stream, c.cfg.Window)
	handler, err := c.cfg.Accept(s)
	if err != nil {
		return nil, err
	}
	c.Await(s, handler)
	return s, nil
}

// takeForeign passes a frame on to the library, or drops it when there is none: the library would do so too.
func (c *Conn) takeForeign(h yamuxframe.Header, wait bool) error {
	if h.Has(yamuxframe.SYN) {
		if c.cfg.AcceptForeign == nil {
			return ErrProtocol
		}
		ok, err := c.pipe.drained(wait)
		if c.blocked = !ok; !ok || err != nil {
			return err
		}
		if err := c.cfg.AcceptForeign(); err != nil {
			return err
		}
	}
	if !c.pipe.opened.Load() {
		return nil
	}
	var head [yamuxframe.HeaderSize]byte
	ok, err := c.pipe.putHeader(yamuxframe.Append(head[:0], h), wait)
	c.blocked, c.toPipe = !ok, ok
	return err
}

func (c *Conn) streamOf(id uint32) *Stream {
	for _, s := range *c.streams.Load() {
		if s.id == id {
			return s
		}
	}
	return nil
}
