package mux

import (
	"sync"
	"sync/atomic"

	"redoubt/wire/yamuxframe"
)

// maxPongs bounds the answers to pings that wait to be written.
const maxPongs = 16

// takePing queues the answer to a ping, on the reading goroutine. A peer that sends pings and does not read the answers
// loses the connection. This side sends no pings, so an answer to one is dropped.
func (c *Conn) takePing(h yamuxframe.Header) error {
	if !h.Has(yamuxframe.SYN) {
		return nil
	}
	if !c.pongs.add(h.Length) {
		c.resume()
		if !c.pongs.add(h.Length) {
			return ErrOverflow
		}
	}
	c.want.Store(true)
	return nil
}

// pongs are the answers to pings that wait to be written. mu protects them; the reading and the writing goroutine
// take it.
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
		out = yamuxframe.Append(out, yamuxframe.Header{Kind: yamuxframe.Ping, Flags: yamuxframe.ACK, Length: v})
	}
	p.waiting.Store(0)
	return out
}
