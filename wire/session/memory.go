package session

import (
	"sync"
	"sync/atomic"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is memory: buffers that hold bodies, the budget that sessions share, and what one session costs. None of it
// has a lock.

// Buffers that hold bodies come from pools by size and are wiped before they go back. The sizes grow by a third or a
// half: what a body holds is charged by its buffer's size.

var bufferSizes = [...]int{
	4 << 10, 8 << 10, 16 << 10, 24 << 10, 32 << 10, 48 << 10, 64 << 10, 96 << 10, 128 << 10, 192 << 10, 256 << 10,
	384 << 10, 512 << 10, 768 << 10, 1 << 20, 3 << 19, 2<<20 + 4096,
}

var bufferPools [len(bufferSizes)]sync.Pool

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) []byte {
	for i, size := range bufferSizes {
		if n <= size {
			if p, ok := bufferPools[i].Get().(*[]byte); ok {
				return (*p)[:0]
			}
			return make([]byte, 0, size)
		}
	}
	return make([]byte, 0, n)
}

// bufferSize is the capacity of getBuffer(n).
func bufferSize(n int) int {
	for _, size := range bufferSizes {
		if n <= size {
			return size
		}
	}
	return n
}

// putBuffer wipes all of a buffer of getBuffer's and gives it back. Buffers of other sizes are wiped and dropped.
func putBuffer(b []byte) {
	b = b[:cap(b)]
	clear(b)
	for i, size := range bufferSizes {
		if len(b) == size {
			bufferPools[i].Put(&b)
			return
		}
	}
}

// reserve makes room for n more bytes; an array that it leaves behind is wiped.
func reserve(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	nb := make([]byte, len(b), max(2*cap(b), len(b)+n, 4<<10))
	copy(nb, b)
	clear(b)
	return nb
}

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
		conn    = mux.ReadSize + mux.MaxWrite + 2*mux.PipeSize
		control = 2*controlWindow + 2*keepBuffer
		others  = 256 << 10 // goroutines, streams of unknown kinds, the library
	)
	errorRoom := 2 * int64(c.Hello.MaxInFlight) * (wire.HeaderSize + maxErrorBody)
	lane := int64(2*keepBuffer+wire.HeaderSize+wire.MaxChunk) + errorRoom
	return conn + control + others + int64(c.Hello.MaxLanes)*lane
}

// EgressCost bounds what the library holds of an egress stream that is not read.
const EgressCost = 2 * libraryWindow
