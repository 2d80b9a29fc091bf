package session

import (
	"context"
	"errors"
	"time"
)

// This file sends calls. It runs on the callers' goroutines and takes no lock but that of the lane's queue.

// NewCall returns a call from the pool, with empty Body.
func (c *Client) NewCall() *Call {
	return c.calls.Get().(*Call) //nolint:forcetypeassert // the pool holds nothing else
}

// Do sends the call and waits for the answer, the deadline (the earlier of ctx's and call.Deadline) or the end of the
// session, whichever is first. An answer that comes later is dropped. The result is that of [Call.Err].
// In steady state it allocates nothing of its own.
func (c *Client) Do(ctx context.Context, call *Call) error {
	expires := call.Deadline
	if d, ok := ctx.Deadline(); ok && (expires.IsZero() || d.Before(expires)) {
		expires = d
	}
	call.notify = nil
	if err := c.submit(call, expires); err != nil {
		call.err = err
		return err
	}
	stop := ctx.Done()
	if stop == nil {
		if c.inFlight.Load() <= aloneCalls {
			c.conn.Poll(call.look)
		}
		<-call.done
		return call.err
	}
	select {
	case <-call.done:
	case <-stop:
		if sent, ok := call.lane.Load().remove(call, false); ok {
			if call.timer != nil {
				call.timer.Stop()
			}
			call.err = callError(sent, ctx.Err())
			return call.err
		}
		<-call.done // it is being completed at this moment
	}
	return call.err
}

// Start sends the call without waiting. When it completes, at its Deadline at the latest (zero: at the end of the
// session), the call is sent to done, which must have room for every call that it was given to. An error of Start
// itself means that the call will not be sent to done; it is a *CallError with Sent false.
func (c *Client) Start(call *Call, done chan<- *Call) error {
	call.notify = done
	if err := c.submit(call, call.Deadline); err != nil {
		call.err = err
		return err
	}
	return nil
}

func (c *Client) submit(call *Call, expires time.Time) error {
	call.forgetAnswer()
	call.err = nil
	var left time.Duration
	if !expires.IsZero() {
		if left = time.Until(expires); left <= 0 {
			return errNotSentDeadline
		}
	}
	if needs, ok := call.Kind.LaneRequest(); !ok || !c.features.Has(needs) {
		return errNotSentUnknown
	}
	if len(call.Body) > int(c.peer.MaxBody) {
		return errNotSentTooLarge
	}
	if c.inFlight.Add(1) > c.maxInFlight {
		c.left()
		return errNotSentInFlight
	}
	// After the count, so that Drain either sees the call or makes it see this.
	if c.conn.Drained() {
		c.left()
		return errNotSentDraining
	}
	if err := c.pick(call.Batch).submit(call, expires, left); err != nil {
		c.left()
		if errors.Is(err, ErrQueueFull) {
			return errNotSentQueue
		}
		return callError(false, err)
	}
	return nil
}

func (c *Client) pick(batch bool) *lane {
	if batch && c.batch != nil {
		return c.batch
	}
	if len(c.single) == 1 {
		return c.single[0]
	}
	return c.single[int(c.next.Add(1))%len(c.single)]
}

// left counts a call that is no longer in flight.
func (c *Client) left() {
	if c.inFlight.Add(-1) == 0 && c.conn.Drained() {
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
}
