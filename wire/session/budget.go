package session

import (
	"sync/atomic"

	"redoubt/wire"
)

// Budget bounds memory that sessions share: messages half received, and what waits to be written beyond a small part
// of each stream's own. A long message that finds no room is dropped as it comes and answered with wire.Overloaded; an
// answer that finds none becomes that error; on a control stream, which has no such answer, the session ends.
// A long answer counts until its [Call] is released.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget makes a budget of so many bytes. It should hold some messages of the largest size, twice each.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Used is what sessions hold of it.
func (b *Budget) Used() int64 { return b.used.Load() }

// take reserves n bytes, if there is room. A nil budget has always room.
func (b *Budget) take(n int) bool {
	if b == nil || b.used.Add(int64(n)) <= b.max {
		return true
	}
	b.used.Add(-int64(n))
	return false
}

// keep goes on holding what was given back a moment ago, with room or without.
func (b *Budget) keep(n int) {
	if b != nil {
		b.used.Add(int64(n))
	}
}

func (b *Budget) give(n int) {
	if b != nil {
		b.used.Add(-int64(n))
	}
}

// Cost bounds what one session holds at most beside its share of the Budget, in bytes: buffers of the connection and
// of the control stream, and for each lane a frame half received, a queue as far as it is not charged, and the
// errors that always find room. Egress streams come on top: [EgressCost] each.
func (c ServerConfig) Cost() int64 {
	if c.fill() != nil {
		return 0
	}
	const (
		conn    = readBuffer + wire.MaxWrite
		control = 2*libraryWindow + 2*frameBuffer + 2*keepBuffer
		others  = 256 << 10 // goroutines, streams of unknown kinds, the library
	)
	errorRoom := 2 * int64(c.Hello.MaxInFlight) * (wire.HeaderSize + maxErrorBody)
	lane := int64(2*keepBuffer+wire.HeaderSize+wire.MaxChunk) + errorRoom
	return conn + control + others + int64(c.Hello.MaxLanes)*lane
}

// EgressCost bounds what the library holds of an egress stream that is not read.
const EgressCost = 2 * libraryWindow
