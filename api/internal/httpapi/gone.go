package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"redoubt/wire/kit/h1"
)

const (
	// statusGone is the status in metrics and logs of an answer that nobody waited for, as in proxies. No caller sees
	// it.
	statusGone   = 499
	codeCanceled = "canceled"
	// handleTimeout bounds the work on a request, so that its answer can still be written before the server's own
	// limit, 60 s.
	handleTimeout = 50 * time.Second
)

var errGone = refusal(statusGone, "Caller is gone", codeCanceled)

// attend is the context of a request. It ends after a time, and when its caller has left.
func attend(r *http.Request) (context.Context, context.CancelFunc) {
	return h1.Attend(r, handleTimeout)
}

// gone reports whether a request's context ended because its caller has left. Nothing else cancels it.
func gone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// send writes the body of an answer to the connection, not to a buffer, so that it notices a caller that has left.
func send(w http.ResponseWriter, status int, data []byte) error {
	w.WriteHeader(status)
	if _, err := w.Write(data); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return err
	}
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
