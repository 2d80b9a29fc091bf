// Package budget bounds what the requests of a server hold together, in bytes: who finds no room is refused at once,
// rather than the process growing until it is killed.
package budget

import "sync/atomic"

// Budget counts down bytes that may still be taken. It is safe for concurrent use; the zero value has none.
type Budget struct {
	left atomic.Int64
}

// New makes a budget of so many bytes.
func New(bytes int64) *Budget {
	b := &Budget{}
	b.Give(int(bytes))
	return b
}

// Take takes n bytes, all or none. Who takes them MUST give them back.
func (b *Budget) Take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

// Give gives n bytes back, or adds them.
func (b *Budget) Give(n int) { b.left.Add(int64(n)) }

// Left is what may still be taken; while a Take fails it can be too small.
func (b *Budget) Left() int64 { return b.left.Load() }
