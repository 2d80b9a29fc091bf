package program

import (
	"cmp"
	"fmt"
	"time"
)

// MaxWait is the longest waiting time that a flag may name.
const MaxWait = time.Hour

// Within reports whether v lies between low and high, both inclusive. Every number that a flag, a variable, a file or
// a query names MUST be checked by it. NaN fails every comparison. So a check for too small or too large values lets
// NaN through; Within does not.
func Within[T cmp.Ordered](v, low, high T) bool { return v >= low && v <= high }

// Range returns a [Mistake] that names the bounds if v is not [Within] them.
func Range[T cmp.Ordered](name string, v, low, high T) error {
	if Within(v, low, high) {
		return nil
	}
	return Mistake(fmt.Sprintf("%s must be %v to %v", name, low, high))
}
