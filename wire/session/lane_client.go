package session

import (
	"time"

	"redoubt/wire"
)

// This file is a lane of the parent's: the slots in which calls wait for their answers. They are protected by the lock
// of the lane's queue. The reading goroutine handles answers and never waits.

const (
	slotBits = 16
	maxSlots = 1<<slotBits - 1
)

// lane is a client's side of a stream of pipelined calls. An id is a slot's number (low 16 bits) and how often the slot
// has been used, so that an answer finds its call without a map, and a late one finds none.
// The lock of the queue covers the slots too.
type lane struct {
	framed
	client *Client
	slots  []slot
	free   []uint32
}

type slot struct {
	call    *Call
	uses    uint64
	pos     uint64 // in the queue
	expires time.Time
}

// submit puts the call into a slot and its request into the queue.
func (l *lane) submit(c *Call, expires time.Time, left time.Duration) error {
	h := wire.Header{Kind: c.Kind, DeadlineMS: millis(left, expires)}
	q := l.q
	q.mu.Lock()
	var i uint32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[i]
	h.ID = (s.uses+1)<<slotBits | uint64(i)
	pos, err := q.pushLocked(h, c.Body)
	if err != nil {
		l.free = append(l.free, i)
		q.mu.Unlock()
		return err
	}
	s.uses++
	s.call, s.pos, s.expires = c, pos, expires
	c.id.Store(h.ID)
	c.lane.Store(l)
	if !expires.IsZero() {
		c.armTimer(left)
	}
	q.mu.Unlock()
	q.ring()
	return nil
}

// millis is what is left, rounded up, for the header.
func millis(left time.Duration, expires time.Time) uint32 {
	if expires.IsZero() {
		return 0
	}
	return uint32(min((left+time.Millisecond-1)/time.Millisecond, 1<<31))
}

// remove takes the call out of its slot, and tells whether it was there and whether it may have been sent.
// With ifExpired it does so only when the call's time is up.
func (l *lane) remove(c *Call, ifExpired bool) (sent, ok bool) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	i := c.id.Load() & maxSlots
	if i >= uint64(len(l.slots)) || l.slots[i].call != c {
		return false, false
	}
	s := &l.slots[i]
	if ifExpired && (s.expires.IsZero() || time.Now().Before(s.expires)) {
		return false, false
	}
	l.release(uint32(i))
	return l.q.sent(s.pos), true
}

// release frees a slot. The queue's lock is held.
func (l *lane) release(i uint32) {
	l.slots[i].call = nil
	l.free = append(l.free, i)
	l.client.left()
}

// find takes the call that waits for id out of its slot. A nil call with known true is one that no longer waits.
func (l *lane) find(id uint64) (c *Call, known bool) {
	i, uses := id&maxSlots, id>>slotBits
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if i >= uint64(len(l.slots)) || uses > l.slots[i].uses || uses == 0 {
		return nil, false
	}
	if s := &l.slots[i]; s.call != nil && s.uses == uses {
		c = s.call
		l.release(uint32(i))
	}
	return c, true
}

// waits reports whether a call still waits for id; it is asked before a long answer is gathered.
func (l *lane) waits(id uint64) bool {
	i, uses := id&maxSlots, id>>slotBits
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return i < uint64(len(l.slots)) && l.slots[i].call != nil && l.slots[i].uses == uses
}

// handle takes an answer.
func (l *lane) handle(h wire.Header, body []byte, owned bool) error {
	c, known := l.find(h.ID)
	if c == nil {
		if owned {
			putBuffer(body)
		}
		if !known {
			return ErrProtocol
		}
		l.client.late.Add(1)
		return nil
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if h.Kind == wire.KindError {
		err := answerError(body)
		if owned {
			putBuffer(body)
		}
		c.complete(err)
		return nil
	}
	c.setAnswer(h.Kind, body, owned)
	c.complete(nil)
	return nil
}

// noRoom ends a call whose answer was too long for what is left of the budget.
func (l *lane) noRoom(h wire.Header) error {
	m := wire.ErrorBody{Code: wire.Overloaded}
	var room [maxErrorBody]byte
	return l.handle(wire.Header{Kind: wire.KindError, ID: h.ID}, m.Append(room[:0]), false)
}

// Ended implements mux.Handler: no call is taken any more, and those that wait fail.
func (l *lane) Ended(err error) {
	l.q.close(err)
	type ended struct {
		c    *Call
		sent bool
	}
	var calls []ended
	l.q.mu.Lock()
	for i := range l.slots {
		if c := l.slots[i].call; c != nil {
			calls = append(calls, ended{c, l.q.sent(l.slots[i].pos)})
			l.release(uint32(i))
		}
	}
	l.q.mu.Unlock()
	for _, e := range calls {
		if e.c.timer != nil {
			e.c.timer.Stop()
		}
		e.c.complete(callError(e.sent, err))
	}
}
