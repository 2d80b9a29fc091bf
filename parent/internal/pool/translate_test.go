package pool

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"redoubt/wire"
	"redoubt/wire/session"
)

// Each way in which a call of a session can fail has an answer for the caller, and none shows the session's own words.
func TestEachErrorOfASessionHasItsAnswer(t *testing.T) {
	answered := &wire.Error{Code: wire.KeyDenied}
	for _, c := range []struct {
		err, want error
	}{
		{answered, answered},
		{context.DeadlineExceeded, errDeadline},
		{session.ErrInFlight, errOverloaded},
		{session.ErrQueueFull, errOverloaded},
		{session.ErrTooLarge, errTooLarge},
		{context.Canceled, errStopping},
		{errors.New("the connection was reset"), ErrNoneReady},
		{wire.ErrMalformed, errInternal},
		{session.ErrUnsupported, errInternal},
	} {
		for _, sent := range []bool{false, true} {
			if got := translate(&session.CallError{Sent: sent, Err: c.err}); !errors.Is(got, c.want) {
				t.Errorf("%v, sent %t: %v, want %v", c.err, sent, got, c.want)
			}
		}
	}
	if got := translate(fmt.Errorf("not of a session")); !errors.Is(got, errInternal) {
		t.Errorf("another error: %v", got)
	}
}
