package kms

import (
	"context"
	"errors"
	"sync/atomic"
)

// A limiter bounds the attempts at a time, and the calls that wait for their turn.
type limiter struct {
	slots   chan struct{}
	waiting atomic.Int64
	max     int64
}

func newLimiter(concurrent, queue int) *limiter {
	return &limiter{slots: make(chan struct{}, concurrent), max: int64(queue)}
}

// acquire takes a slot, and waits for it until ctx ends. It fails with Overloaded at once if too many calls wait, or
// if time runs out before its turn. That cause is our load, and says nothing of KMS or the key.
func (l *limiter) acquire(ctx context.Context) Cause {
	select {
	case l.slots <- struct{}{}:
		return OK
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.max {
		return Overloaded
	}
	select {
	case l.slots <- struct{}{}:
		return OK
	case <-ctx.Done():
		return ended(ctx, Overloaded)
	}
}

func (l *limiter) release() { <-l.slots }

// ended is the cause of a wait that ended with ctx. It is late if the time ran out.
func ended(ctx context.Context, late Cause) Cause {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return late
	}
	return Cancelled
}
