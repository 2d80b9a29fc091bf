package store

import "errors"

// Errors of a store that would do what it is asked, but not now. A caller may try again.
var (
	// ErrThrottled reports that the store was asked for more than it is provided for; nothing was stored.
	ErrThrottled = errors.New("store: throttled")
	// ErrUnavailable reports that the store did not answer, or said that it cannot.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrDenied reports that the store refuses this process: no right, or credentials that are expired or not known.
	ErrDenied = errors.New("store: access denied; look at the rights and the credentials of this service")
	// ErrMissing reports that what keeps the records, a table, is not there.
	ErrMissing = errors.New("store: table not found; look at the name and the region of --store")
	// ErrFull reports a write that found no room; nothing was stored. Removals, and the audit of what is read, have a
	// reserve.
	ErrFull = errors.New("store: full")
)
