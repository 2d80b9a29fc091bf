//go:build dev && !wasip1

package simulate

import "time"

// exact: on a machine that others use as well, what takes long may do so for a reason of theirs. So only what depends
// on no time is held natively.
const (
	exact = false
	// pace is by how much the tiers' limits are longer than in the exact form.
	pace = 8
)

// jumpClock cannot move the machine's clock.
func jumpClock(time.Duration) bool { return false }
