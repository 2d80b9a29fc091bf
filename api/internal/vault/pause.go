package vault

import (
	"context"
	"math/rand/v2"
	"time"
)

// These are the pauses between attempts to write a record that others change at the same time. Without them, writers
// that collided once would read and write in step, and one of them would win each round.
const (
	firstPause = 20 * time.Millisecond
	maxPause   = 640 * time.Millisecond
)

// pause waits after an attempt, of which the first is 1, with full jitter below a bound that doubles. The error is
// the context's.
func pause(ctx context.Context, attempt int) error {
	most := min(firstPause<<min(attempt-1, 10), maxPause)
	t := time.NewTimer(rand.N(most)) //nolint:gosec // spreads load
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
