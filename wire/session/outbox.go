package session

import (
	"sync"

	"redoubt/wire"
	"redoubt/wire/mux"
	"redoubt/wire/yamuxframe"
)

// This file is the queue of what a stream has to send. Its lock is taken last: by callers and workers that push, and by
// the writing goroutine, which takes what has gathered. A parent's lane keeps its slots under the same lock.

// Package mux bounds one write at MaxWrite, which must be wire's: this does not compile when the two differ.
const _ = uint(mux.MaxWrite-wire.MaxWrite) + uint(wire.MaxWrite-mux.MaxWrite)

const (
	// pieceSize is the most that goes into one yamux frame: with its header it fits one write to the connection.
	pieceSize = mux.MaxWrite - yamuxframe.HeaderSize
	// keepBuffer is the largest buffer that is kept for reuse.
	keepBuffer = 64 << 10
)

// outQueue gathers the frames of many callers for one stream. push copies and never blocks; take hands out what has
// gathered, and wipes it here. Long messages wait beside and give a chunk to each take, so that a short one never
// waits for more than a chunk of each.
type outQueue struct {
	// ring is called after a push, without the lock.
	ring func()

	mu     sync.Mutex
	buf    []byte // whole frames, in order
	off    int    // of buf, what has been taken
	large  []largeMsg
	queued int // bytes in buf, and of messages in large: a long message counts wholly until its end
	limit  int
	spare  int    // bytes beyond limit for errors, so that a message that has no room can be answered by one
	pushed uint64 // bytes ever put into buf
	taken  uint64 // of those, bytes that were taken: they may have been written
	frames int    // pushed since the last take
	err    error

	budget  *Budget
	charged int // to budget
}

// largeMsg is what is left of a message longer than a chunk.
type largeMsg struct {
	head wire.Header
	buf  []byte // from the pool
	off  int
}

func newOutQueue(limit int, ring func()) *outQueue { return &outQueue{limit: limit, ring: ring} }

// begin puts bytes before all messages: a preamble. It is for a queue that nobody else has yet.
func (q *outQueue) begin(b []byte) {
	q.buf = append(q.buf, b...)
	q.queued, q.pushed = len(b), uint64(len(b))
}

// push queues a message. The position it returns is compared with sent. ErrQueueFull leaves the queue as it was.
func (q *outQueue) push(h wire.Header, body []byte) (pos uint64, err error) {
	pos, err = q.pushAlone(h, body)
	if err == nil {
		q.ring()
	}
	return pos, err
}

func (q *outQueue) pushAlone(h wire.Header, body []byte) (pos uint64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock() // also if it panics: the end of the session takes mu
	return q.pushLocked(h, body)
}

// pushLocked does it with mu held; the caller rings when it has released mu.
func (q *outQueue) pushLocked(h wire.Header, body []byte) (pos uint64, err error) {
	if q.err != nil {
		return 0, q.err
	}
	limit := q.limit
	if h.Kind == wire.KindError {
		limit += q.spare
	}
	if q.queued+wire.HeaderSize+len(body) > limit {
		return 0, ErrQueueFull
	}
	if q.budget != nil && !q.charge(h.Kind, wire.HeaderSize+len(body)) {
		return 0, ErrQueueFull
	}
	pos = q.pushed
	first := body
	if len(body) > wire.MaxChunk {
		first = body[:wire.MaxChunk]
		rest := getBuffer(len(body) - wire.MaxChunk)
		rest = append(rest, body[wire.MaxChunk:]...)
		q.large = append(q.large, largeMsg{head: h, buf: rest})
		h.Flags |= wire.FlagMore
		q.queued += len(body)
	}
	h.Length = uint32(len(first))
	q.appendFrame(h, first)
	return pos, nil
}

// charge takes from the budget what n more bytes may hold beyond keepBuffer: arrays grow to twice what is in them.
// Errors find room in any case.
func (q *outQueue) charge(kind wire.Kind, n int) bool {
	more := 2*(q.queued+n) - keepBuffer - q.charged
	if more <= 0 || kind == wire.KindError {
		return true
	}
	if !q.budget.take(more) {
		return false
	}
	q.charged += more
	return true
}

// refund gives back what is no longer held. buf is empty, or gone.
func (q *outQueue) refund() {
	if held := max(0, 2*q.queued-keepBuffer); q.charged > held {
		q.budget.give(q.charged - held)
		q.charged = held
	}
}

func (q *outQueue) appendFrame(h wire.Header, body []byte) {
	n := wire.HeaderSize + len(body)
	if q.off > 0 && cap(q.buf)-len(q.buf) < n {
		rest := copy(q.buf, q.buf[q.off:])
		clear(q.buf[rest:])
		q.buf, q.off = q.buf[:rest], 0
	}
	q.buf = reserve(q.buf, n)
	q.buf = append(wire.AppendHeader(q.buf, h), body...)
	q.queued += n
	q.pushed += uint64(n)
	q.frames++
}

// sent reports, with mu held, whether any of the message at pos may have been written.
func (q *outQueue) sent(pos uint64) bool { return pos < q.taken }

// take appends up to limit bytes of what waits to dst, and says how many frames were pushed since the last time and
// whether anything is left.
func (q *outQueue) take(dst []byte, limit int) (b []byte, frames int, left bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.large) > 0 && len(q.buf)-q.off < pieceSize {
		q.nextChunk()
	}
	for limit > 0 {
		n := min(limit, len(q.buf)-q.off)
		if n == 0 {
			if len(q.large) == 0 {
				break
			}
			q.nextChunk()
			continue
		}
		piece := q.buf[q.off : q.off+n]
		dst = append(dst, piece...)
		clear(piece)
		q.off += n
		q.taken += uint64(n)
		q.queued -= n
		limit -= n
		if q.off == len(q.buf) {
			q.emptied()
		}
	}
	frames, q.frames = q.frames, 0
	return dst, frames, q.off < len(q.buf) || len(q.large) > 0
}

func (q *outQueue) emptied() {
	q.buf, q.off = q.buf[:0], 0
	if cap(q.buf) > keepBuffer {
		q.buf = nil
	}
	if q.charged > 0 {
		q.refund()
	}
}

// nextChunk moves a chunk of the message whose turn it is from large to buf. mu is held.
func (q *outQueue) nextChunk() {
	m := q.large[0]
	n := copy(q.large, q.large[1:])
	q.large[n] = largeMsg{}
	q.large = q.large[:n]
	rest := m.buf[m.off:]
	h := m.head
	if len(rest) > wire.MaxChunk {
		rest = rest[:wire.MaxChunk]
		h.Flags |= wire.FlagMore
	}
	h.Length = uint32(len(rest))
	q.appendFrame(h, rest)
	if m.off += len(rest); m.off < len(m.buf) {
		q.large = append(q.large, m)
		return
	}
	q.queued -= len(m.buf) + wire.MaxChunk
	putBuffer(m.buf)
}

// close makes push fail with err, and wipes what was not taken.
func (q *outQueue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return
	}
	q.err = err
	clear(q.buf)
	q.buf, q.off = nil, 0
	for _, m := range q.large {
		putBuffer(m.buf)
	}
	q.large = nil
	q.budget.give(q.charged)
	q.charged = 0
}
