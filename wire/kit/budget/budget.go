// Package budget bounds, for a server, the bytes that its requests hold together. A request that finds no room is
// refused at once. Otherwise the process would grow until it is killed.
package budget

import "sync/atomic"

// Budget counts down bytes that may still be taken. It is safe for concurrent use; the zero value has none.
type Budget struct {
	left atomic.Int64
}

// New makes a budget of this many bytes.
func New(bytes int64) *Budget {
	b := &Budget{}
	b.Give(int(bytes))
	return b
}

// Take takes n bytes, all or none. The caller MUST give taken bytes back.
func (b *Budget) Take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

// Give gives n bytes back, or adds n bytes.
func (b *Budget) Give(n int) { b.left.Add(int64(n)) }

// Left is the number of bytes that may still be taken. While a Take fails, the number can be too small.
func (b *Budget) Left() int64 { return b.left.Load() }
