package session

import (
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// This file is a request and its answer as the enclave's handler sees them. It takes no lock but that of the lane's
// queue. An answer belongs to one goroutine at a time; its counter of uses tells that goroutine from a later one.

// Request is one request as a [Handler] sees it.
type Request struct {
	// Kind of the request: one for which [wire.Kind.LaneRequest] reports true, and whose features the session has.
	Kind wire.Kind
	// Batch says that it came on the batch lane.
	Batch bool
	// Arrived is when its last byte was read; Deadline is zero when the request has none.
	Arrived, Deadline time.Time
	// Body is the request's body. It is borrowed from the lane and valid until Handler.Request returns, unless Own
	// was called.
	Body []byte
	// Responder answers the request. It is a value: copy it, keep it, use it once.
	Responder Responder
}

// Own makes the Body last until the request is answered (it is copied into, or already lies in, memory that belongs to
// the Responder), updates r.Body and returns it. Nothing that was decoded from the old Body stays valid after Request
// returns: call Own before decoding. The memory is wiped when the request is answered.
func (r *Request) Own() []byte {
	a := r.Responder.a
	if a == nil || a.uses.Load() != r.Responder.use || a.owned {
		return r.Body
	}
	if size := bufferSize(len(r.Body)); cap(a.body) != size { // one that is larger than need be would be held too
		if a.body != nil {
			putBuffer(a.body)
		}
		a.body = getBuffer(len(r.Body))
	}
	if a.out != nil {
		putBuffer(a.out)
		a.out = nil
	}
	a.body = append(a.body[:0], r.Body...)
	a.owned = true
	r.Body = a.body
	return r.Body
}

// Held is the memory that the request holds once it owns its Body: what is to be charged for one that waits.
func (r *Request) Held() int {
	const each = 512 // of the answer, and of what its waiting takes in the session
	if a := r.Responder.a; a != nil && a.owned {
		return each + cap(a.body)
	}
	return each + bufferSize(len(r.Body))
}

// answer is what an unanswered request holds. It is pooled; uses tells its lives apart.
type answer struct {
	uses  atomic.Uint64
	id    uint64
	body  []byte // pool buffer with the request's body, when owned
	owned bool
	out   []byte // pool buffer for the answer's body
}

// Responder answers one request, exactly once, from any goroutine (one at a time). The zero value answers nothing.
type Responder struct {
	a    *answer
	lane *serverLane
	use  uint64
}

// Features are those of the session that the request came on: what both sides have.
func (r Responder) Features() wire.Features {
	if r.lane == nil {
		return 0
	}
	return r.lane.server.features
}

// Buffer returns an empty slice with room for at least n bytes, for the answer's body to be appended to. It belongs to
// the Responder; all that was appended is given to Send. Ask for enough: an array that append leaves behind
// when it has to grow is not wiped.
func (r Responder) Buffer(n int) []byte {
	a := r.a
	if a == nil || a.uses.Load() != r.use {
		return nil
	}
	if cap(a.out) < n || a.out == nil {
		if a.out != nil {
			putBuffer(a.out)
		}
		a.out = getBuffer(n)
	}
	return a.out[:0]
}

// Send answers with a message. It copies body into the lane's bounded queue, never blocks, and wipes body, and what
// Own and Buffer gave, before it returns. Errors: ErrAnswered; ErrTooLarge (then the request is still open:
// answer with Fail); ErrQueueFull (too much waits to be written: the request was answered with wire.Overloaded
// instead); ErrOverflow, or why the session has ended (the request counts as answered).
func (r Responder) Send(kind wire.Kind, body []byte) error {
	if r.a == nil {
		return ErrAnswered
	}
	if len(body) > int(r.lane.server.peer.MaxBody) {
		return ErrTooLarge
	}
	return r.send(kind, body, true)
}

// Fail answers with an error instead of a message. Errors as Send. retryAfter of zero says nothing.
func (r Responder) Fail(c wire.Code, retryAfter time.Duration) error {
	return r.fail(c, retryAfter, true)
}

func (r Responder) fail(c wire.Code, retryAfter time.Duration, reuse bool) error {
	if r.a == nil {
		return ErrAnswered
	}
	m := wire.ErrorBody{Code: c, RetryAfterMS: uint32(min(max(0, retryAfter.Milliseconds()), 1<<31))}
	var room [maxErrorBody]byte
	return r.send(wire.KindError, m.Append(room[:0]), reuse)
}

// send is all of it. Without reuse the memory stays with the handler, which may still hold it.
func (r Responder) send(kind wire.Kind, body []byte, reuse bool) error {
	a := r.a
	if !a.uses.CompareAndSwap(r.use, r.use+1) {
		return ErrAnswered
	}
	l, id := r.lane, a.id
	err := l.say(kind, id, body)
	if reuse {
		clear(body)
		used := cap(a.out)
		if len(body) > 0 && used > 0 && &body[0] == &a.out[:1][0] {
			used = 0 // the body was all that lay in it
		}
		a.recycle(l.server, used)
	}
	l.server.left()
	return err
}

// recycle wipes what was used, out bytes of the out buffer, and returns the answer to its pool.
func (a *answer) recycle(s *Server, out int) {
	a.body = recycleBuffer(a.body, len(a.body))
	a.out = recycleBuffer(a.out, out)
	a.owned = false
	s.answers.Put(a)
}

func recycleBuffer(b []byte, used int) []byte {
	if cap(b) > keepBody {
		putBuffer(b)
		return nil
	}
	clear(b[:used])
	return b[:0]
}
