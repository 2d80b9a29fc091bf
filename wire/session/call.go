package session

import (
	"context"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// This file is a call as the parent's callers see it. A Call belongs to its caller, but between the moment that a
// lane has it in a slot and the moment that a goroutine has taken it out again: that one completes it. Only lane and
// id, which are atomic, may be read by its timer at any time. No lock but that of the lane's queue is taken.

// keepBody is the largest body memory that a Call keeps for its next use.
const keepBody = 64 << 10

// Call is one request and its answer, reusable. Get one from [Client.NewCall], append the request's body to Body, give
// it to [Client.Do] or [Client.Start], read the answer, Release it. One goroutine at a time may use it.
type Call struct {
	// Kind of the request; NewCall sets wire.KindDecrypt. A kind whose feature the enclave does not have fails with
	// ErrUnsupported, and nothing is sent.
	Kind wire.Kind
	// Batch sends the request on the batch lane.
	Batch bool
	// Deadline of the call; zero means none beside the context's. The time left travels with the request.
	Deadline time.Time
	// Body is the request's body. The caller appends to it (c.Body = m.Append(c.Body)); the Call owns its memory and
	// wipes it on Release.
	Body []byte
	// User is free for the caller, for instance to tell calls of a batch apart. Release clears it.
	User any

	// Answer is the body of the answer, nil unless Err returns nil. It is owned by the Call and valid until Release or
	// the next Do or Start, which wipe it.
	Answer []byte
	// AnswerKind is the kind of the answer.
	AnswerKind wire.Kind

	client *Client
	err    error
	buf    []byte        // memory of Answer
	kept   int           // of buf, charged to the session's budget
	done   chan struct{} // wakes Do; room for one
	notify chan<- *Call  // instead of done, for Start
	timer  *time.Timer
	look   func() bool // lookForAnswer, made once

	lane atomic.Pointer[lane]
	id   atomic.Uint64
}

// Err is the outcome of the last Do or Start that has completed: nil (Answer is set), a *wire.Error that the enclave
// answered, or a *CallError when there was no answer.
func (c *Call) Err() error { return c.err }

// Client is the session that the call belongs to.
func (c *Call) Client() *Client { return c.client }

// Release wipes and forgets Body and Answer and puts the Call back into its pool. The Call must not be in flight nor
// be used afterwards.
func (c *Call) Release() {
	c.forgetAnswer()
	clear(c.Body)
	body, buf := c.Body[:0], c.buf
	if cap(body) > keepBody {
		body = nil
	}
	cl := c.client
	c.Kind, c.Batch, c.Deadline, c.User, c.err = wire.KindDecrypt, false, time.Time{}, nil, nil
	c.Body, c.buf, c.notify = body, buf, nil
	cl.calls.Put(c)
}

func (c *Call) forgetAnswer() {
	clear(c.Answer)
	c.Answer, c.AnswerKind = nil, 0
	if c.kept > 0 {
		c.client.cfg.Budget.give(c.kept)
		c.kept = 0
	}
	if cap(c.buf) > keepBody {
		putBuffer(c.buf)
		c.buf = nil
	}
}

// complete hands the outcome to the caller that waits. Only the goroutine that took the call out of its slot may do so.
func (c *Call) complete(err error) {
	c.err = err
	n := c.notify
	if n == nil {
		c.done <- struct{}{}
		return
	}
	select {
	case n <- c:
	default: // the caller broke its promise of room; the lane's reader must not wait for it
		go func() { n <- c }()
	}
}

// lookForAnswer reads what there is on the connection and reports whether the call has ended.
func (c *Call) lookForAnswer() bool {
	if len(c.done) == 0 {
		c.client.conn.Peek()
	}
	return len(c.done) > 0
}

// setAnswer copies a borrowed body, or takes over an owned one.
func (c *Call) setAnswer(kind wire.Kind, body []byte, owned bool) {
	switch {
	case owned:
		if c.buf != nil {
			putBuffer(c.buf)
		}
		c.buf, c.kept = body, cap(body)
		c.client.cfg.Budget.keep(c.kept)
	case cap(c.buf) < len(body):
		if c.buf != nil {
			putBuffer(c.buf)
		}
		c.buf = append(getBuffer(len(body)), body...)
	default:
		c.buf = append(c.buf[:0], body...)
	}
	c.Answer, c.AnswerKind = c.buf, kind
}

// armTimer makes expire run when the call's time is up.
func (c *Call) armTimer(left time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(left, c.expire)
		return
	}
	c.timer.Reset(left)
}

// expire ends the call if it is still in flight and its time is up. It may come late, when the Call is in use again;
// then the slot or the time tells.
func (c *Call) expire() {
	l := c.lane.Load()
	if l == nil {
		return
	}
	if sent, ok := l.remove(c, true); ok {
		c.complete(callError(sent, context.DeadlineExceeded))
	}
}

// Errors without a call's particulars, made once.
var (
	errNotSentDeadline = &CallError{Err: context.DeadlineExceeded}
	errSentDeadline    = &CallError{Sent: true, Err: context.DeadlineExceeded}
	errNotSentDraining = &CallError{Err: ErrDraining}
	errNotSentInFlight = &CallError{Err: ErrInFlight}
	errNotSentTooLarge = &CallError{Err: ErrTooLarge}
	errNotSentQueue    = &CallError{Err: ErrQueueFull}
	errNotSentUnknown  = &CallError{Err: ErrUnsupported}
	errNotSentClosed   = &CallError{Err: ErrClosed}
	errSentClosed      = &CallError{Sent: true, Err: ErrClosed}

	commonErrors = [...]*CallError{errNotSentDeadline, errSentDeadline, errNotSentClosed, errSentClosed}
)

func callError(sent bool, err error) error {
	for _, e := range commonErrors {
		if e.Sent == sent && e.Err == err { //nolint:errorlint // exactly this value
			return e
		}
	}
	return &CallError{Sent: sent, Err: err}
}

// Errors of the enclave without a retry time, made once.
var wireErrors = func() (t [wire.Codes]*wire.Error) {
	for i := range t {
		t[i] = &wire.Error{Code: wire.Code(i)}
	}
	return t
}()

// answerError decodes the body of a KindError.
func answerError(body []byte) error {
	var m wire.ErrorBody
	if err := m.Decode(body); err != nil {
		return wireErrors[wire.Internal]
	}
	if m.RetryAfterMS == 0 {
		return wireErrors[m.Code]
	}
	return &wire.Error{Code: m.Code, RetryAfterMS: m.RetryAfterMS}
}
