//go:build dev

package apid

import (
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/failing"
)

// Judge decides which calls of a store fail, for simulations. Its operations are the methods of [Store].
type (
	Judge   = failing.Judge
	Verdict = failing.Verdict
)

// Failing makes a store fail as j says.
func Failing(j Judge) func(Store) Store {
	return func(s Store) Store { return failing.Wrap(s, j) }
}

// Errors that a store may give.
var (
	ErrThrottled      = store.ErrThrottled
	ErrUnavailable    = store.ErrUnavailable
	ErrUnknownOutcome = store.ErrUnknownOutcome
	ErrFull           = store.ErrFull
	ErrConflict       = store.ErrConflict
)
