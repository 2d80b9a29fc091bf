package session

import (
	"sync"
	"sync/atomic"
)

// maxPongs bounds the answers to yamux's pings that wait to be written.
const maxPongs = 16

// foreign implements laneIO. The library would answer each ping on a goroutine of its own and queue whatever streams a
// peer opens. So pings are answered here, and streams that nobody awaits end the session before the library sees them.
func (m *mux) foreign(h muxHeader) (pass bool, err error) {
	switch h.kind {
	case muxPing:
		if h.flags&muxSYN != 0 {
			err = m.pong(h.length)
		}
	case muxGoAway:
		pass = true
	case muxData, muxWindow:
		pass = h.flags&muxSYN == 0 || m.awaited(h.stream)
		if !pass {
			err = ErrProtocol
		}
	default:
		err = ErrProtocol
	}
	if err != nil {
		return false, m.broken(err)
	}
	return pass, nil
}

// awaited reports whether the peer may open the stream. A parent may open its control stream, once. An enclave may
// open egress streams, as long as not too many are open.
func (m *mux) awaited(stream uint32) bool {
	if m.client {
		return stream&1 == 0 && stream != 0 && m.ys.NumStreams() < m.maxForeign
	}
	first := stream == controlID && !m.met
	m.met = m.met || first
	return first
}

// pong queues the answer to a ping. A peer that sends on and on and does not read loses the session.
func (m *mux) pong(value uint32) error {
	if !m.pongs.add(value) {
		m.resume()
		if !m.pongs.add(value) {
			return ErrOverflow
		}
	}
	m.want.Store(true)
	return nil
}

// pongs are the answers to pings that wait to be written.
type pongs struct {
	waiting atomic.Int32 // read without mu by a writer, which mostly finds none
	mu      sync.Mutex
	values  [maxPongs]uint32
}

func (p *pongs) add(value uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.waiting.Load()
	if n == maxPongs {
		return false
	}
	p.values[n] = value
	p.waiting.Store(n + 1)
	return true
}

func (p *pongs) take(out []byte) []byte {
	if p.waiting.Load() == 0 {
		return out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.values[:p.waiting.Load()] {
		out = appendMuxHeader(out, muxHeader{kind: muxPing, flags: muxACK, length: v})
	}
	p.waiting.Store(0)
	return out
}
