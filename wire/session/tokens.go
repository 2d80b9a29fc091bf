package session

import "time"

// tokens is a rate limit of one goroutine's, or under a lock: a bucket that holds what a second brings.
type tokens struct {
	left float64
	last time.Time
}

func (t *tokens) take(now time.Time, perSecond int) bool {
	if t.last.IsZero() {
		t.left = float64(perSecond)
	} else if d := now.Sub(t.last); d > 0 {
		t.left = min(float64(perSecond), t.left+d.Seconds()*float64(perSecond))
	}
	t.last = now
	if t.left < 1 {
		return false
	}
	t.left--
	return true
}
