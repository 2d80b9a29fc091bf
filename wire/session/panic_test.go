package session

import (
	"context"
	"errors"
	"testing"
)

// TestAPanicOfTheReaderOfLanesEndsTheSessionAndNotTheProcess makes the innermost step panic, on the library's goroutine
// and on a caller's that looks for its answer itself.
func TestAPanicOfTheReaderOfLanesEndsTheSessionAndNotTheProcess(t *testing.T) {
	for name, alone := range map[string]bool{"read": false, "looked for": true} {
		t.Run(name, func(t *testing.T) {
			told := make(chan any, 1)
			c, s := pair(t, ClientConfig{OnPanic: func(v any) { told <- v }}, ServerConfig{})
			c.single[0].in.take = nil
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if alone {
				ctx = context.Background() // it polls
			}
			call := c.NewCall()
			if err := c.Do(ctx, call); !errors.Is(err, ErrFault) || !errors.Is(err, ErrSentUnknown) {
				t.Error(err)
			}
			call.Release()
			ends(t, c, ErrFault)
			ends(t, s, ErrClosed)
			<-told
		})
	}
}
