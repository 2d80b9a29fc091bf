package store

import "errors"

// These errors come from a store that cannot do what it is asked at present. A caller may try again.
var (
	// ErrThrottled reports that the store was asked for more than it is provisioned for. Nothing was stored.
	ErrThrottled = errors.New("store: throttled")
	// ErrUnavailable reports that the store did not answer, or answered that it is unable to.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrDenied reports that the store refuses this process: it has no right, or its credentials are expired or not
	// known.
	ErrDenied = errors.New("store: access denied; look at the rights and the credentials of this service")
	// ErrMissing reports that the table that keeps the records does not exist.
	ErrMissing = errors.New("store: table not found; look at the name and the region of --store")
	// ErrFull reports a write that found no room. Nothing was stored. Removals, and the audit of reads, have a
	// reserve.
	ErrFull = errors.New("store: full")
)
