//go:build dev

package simulate

import "time"

// exact says that time is the simulation's own: what takes long does so for a reason of the plan's.
const (
	exact = true
	pace  = 1
)

//go:wasmimport redoubt jump
func jump(ns int64)

// jumpClock moves the wall clock, not the monotonic one. It reports whether it did.
func jumpClock(d time.Duration) bool {
	jump(int64(d))
	return true
}
