package store

import "errors"

// Errors of a store that would do what it is asked, but not now. A caller may try again.
var (
	// ErrThrottled reports that the store was asked for more than it is provided for; nothing was stored.
	ErrThrottled = errors.New("store: throttled")
	// ErrUnavailable reports that the store did not answer, or said that it cannot.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrFull reports a write that found no room; nothing was stored. Removals, and the audit of what is read, have a
	// reserve.
	ErrFull = errors.New("store: full")
)
