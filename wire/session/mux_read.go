package session

import (
	"errors"
	"time"
)

// owns implements laneIO.
func (m *mux) owns(stream uint32) bool { return stream&1 == 1 && stream != controlID }

// header implements laneIO.
func (m *mux) header(h muxHeader, now time.Time) error {
	if !m.dispatching.Load() {
		m.dispatching.Store(true)
	}
	l := m.streamOf(h.stream)
	if l == nil {
		var err error
		if l, err = m.accept(h, now); err != nil {
			return m.broken(err)
		}
	}
	if err := l.header(h); err != nil {
		if !l.dead || !errors.Is(err, ErrClosed) {
			return m.broken(err)
		}
		m.forget(l)
	}
	if h.kind == muxWindow {
		l.dirty.Store(true)
		m.want.Store(true)
	}
	m.receiving = l
	return nil
}

// data implements laneIO.
func (m *mux) data(b []byte, now time.Time) error {
	l := m.receiving
	if l.pre != nil {
		n := min(preambleSize-len(l.pre), len(b))
		l.pre = append(l.pre, b[:n]...)
		if b = b[n:]; len(l.pre) < preambleSize {
			return nil
		}
		if err := m.begin(l); err != nil {
			return m.broken(err)
		}
	}
	say, err := l.data(b, now)
	if err != nil {
		return m.broken(err)
	}
	if say {
		m.want.Store(true)
	}
	return nil
}

// broken ends the session, and tells the connection.
func (m *mux) broken(err error) error {
	err = streamErr(err)
	m.fail(err)
	return err
}

func (m *mux) streamOf(id uint32) *laneStream {
	for _, l := range *m.streams.Load() {
		if l.id == id {
			return l
		}
	}
	return nil
}

// addStream makes the reader, the writer and the watchdog see a stream.
func (m *mux) addStream(l *laneStream) {
	m.streamsM.Lock()
	defer m.streamsM.Unlock()
	old := *m.streams.Load()
	all := append(old[:len(old):len(old)], l)
	m.streams.Store(&all)
	if err := m.errNow(); err != nil {
		l.q.close(err)
	}
	m.want.Store(true)
}

// forget drops a stream that was dead and that the peer has closed too.
func (m *mux) forget(l *laneStream) {
	m.streamsM.Lock()
	defer m.streamsM.Unlock()
	var all []*laneStream
	for _, o := range *m.streams.Load() {
		if o != l {
			all = append(all, o)
		}
	}
	m.streams.Store(&all)
}

// accept takes a stream that the peer opens: a client's are awaited by the server only, once the hellos are exchanged.
func (m *mux) accept(h muxHeader, now time.Time) (*laneStream, error) {
	if m.client || h.flags&muxSYN == 0 || !m.met {
		return nil, ErrProtocol
	}
	select {
	case <-m.ready:
	case <-m.ended:
		return nil, ErrClosed
	case <-m.late:
		return nil, ErrHello
	}
	l, err := m.onOpen(h.stream)
	if err != nil {
		return nil, err
	}
	l.pre = make([]byte, 0, preambleSize)
	l.opened.Store(ticks(now))
	m.addStream(l)
	return l, nil
}

// begin tells the server what a stream said that it is.
func (m *mux) begin(l *laneStream) error {
	t, err := parsePreamble(l.pre)
	l.pre = nil
	l.opened.Store(0)
	if err != nil {
		return err
	}
	known, err := m.onBegin(l, t)
	if !known { // of a newer peer; it sees that the stream is closed
		l.dead = true
		l.flags.Or(muxFIN)
		l.dirty.Store(true)
		m.want.Store(true)
	}
	return err
}
