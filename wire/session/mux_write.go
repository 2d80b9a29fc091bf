package session

import (
	"runtime"

	"redoubt/wire"
)

const (
	// rounds is how many writes one does, for others too, before it leaves the rest to the writer.
	rounds = 4
	// companyWrites is for how many writes the writer remembers that callers came together.
	companyWrites = 64
	// aloneCalls is up to how many calls in flight each writes for itself.
	aloneCalls = 1
)

// say is called by who queued something for the stream: it is written by who reads, if it is about to look for more
// to read anyway, by the caller, if it is alone, and else by the writer, together with what others say meanwhile.
func (m *mux) say(l *laneStream) {
	l.dirty.Store(true)
	m.want.Store(true)
	switch {
	case m.dispatching.Load():
	case m.alone():
		m.resume()
	default:
		m.wakeWriter()
	}
}

func (m *mux) wakeWriter() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// settle implements laneIO. dispatching goes first: what is said from now on is not left to the reader.
func (m *mux) settle() {
	if m.dispatching.Load() {
		m.dispatching.Store(false)
	}
	m.resume()
}

// resume writes, as far as it goes without waiting, what streams have to say. When another writes, that one looks at
// want again.
func (m *mux) resume() {
	for m.want.Load() {
		if !m.conn.w.TryLock() {
			return
		}
		rest, err := m.writeLocked(false)
		if err != nil {
			m.fail(closedBy(m.conn.fail(err)))
			return
		}
		if rest {
			m.wakeWriter()
			return
		}
	}
}

// writer writes when nobody else does it at once.
func (m *mux) writer() error {
	for {
		select {
		case <-m.wake:
		case <-m.ended:
			return nil
		}
		for {
			m.stepBack()
			m.conn.w.Lock()
			if _, err := m.writeLocked(true); err != nil {
				return closedBy(m.conn.fail(err))
			}
			if !m.want.Load() {
				break
			}
		}
	}
}

// stepBack lets others who are about to run say what they have, so that it is written once.
func (m *mux) stepBack() {
	if n := m.company.Load(); n > 0 {
		m.company.Store(n - 1)
		runtime.Gosched()
	}
}

// writeLocked calls write and releases w.
func (m *mux) writeLocked(wait bool) (rest bool, err error) {
	defer m.conn.w.Unlock()
	return m.write(wait)
}

// write gathers and writes until nothing is left or, without wait, the socket is full or it has been at it for long.
// w is held.
func (m *mux) write(wait bool) (rest bool, err error) {
	for i := 0; wait || i < rounds; i++ {
		if full, err := m.conn.flush(wait); full || err != nil {
			return full, err
		}
		m.want.Store(false)
		if m.conn.out = m.gather(m.conn.out); len(m.conn.out) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// gather appends what streams have to say, as much as one write takes. The stream that begins changes, so that none
// waits for more than one write of another's.
func (m *mux) gather(out []byte) []byte {
	out = m.pongs.take(out)
	all := *m.streams.Load()
	frames := 0
	for i := range all {
		l := all[(i+m.turn)%len(all)]
		var n int
		var more bool
		if out, n, more = l.take(out, wire.MaxWrite-len(out)); more {
			m.want.Store(true)
		}
		frames += n
	}
	if len(all) > 0 { // they are opened in order
		m.turn++
	}
	if frames > 1 {
		m.company.Store(companyWrites)
	}
	return out
}
