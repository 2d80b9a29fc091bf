package front

import (
	"sync"

	"redoubt/wire/kit/budget"
	"redoubt/wire/kit/jsonscan"
	"redoubt/wire/kit/secret"
)

const (
	// answerBudget bounds the bytes of large answers in memory at once, over all connections.
	answerBudget = 256 << 20
	// smallAnswer is what an answer may take without the budget. MaxConnections bounds such answers.
	smallAnswer = 64 << 10
	// roomUnseen is the most room that is made for a string without counting its escapes.
	roomUnseen = 2 << 10
)

// buffer is the body of one answer. It is wiped when it grows and when it is no longer needed. As a user value of a
// fasthttp request it is closed by fasthttp, after the answer has been written and before the next request is read.
type buffer struct {
	b     []byte
	from  *budget.Budget // nil: nothing was claimed
	taken int
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 1024)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) } //nolint:forcetypeassert // the pool's only type

// Close wipes the buffer and puts it back. It always returns nil.
func (b *buffer) Close() error {
	secret.Wipe(b.b)
	if b.from != nil {
		b.from.Give(b.taken)
		b.from, b.taken = nil, 0
	}
	if cap(b.b) <= keep {
		b.b = b.b[:0]
		buffers.Put(b)
	}
	return nil
}

// claim makes room for n more bytes, from the budget if they are many. It returns false if the budget has too little
// left.
func (b *buffer) claim(from *budget.Budget, n int) bool {
	if n > smallAnswer {
		if !from.Take(n) {
			return false
		}
		b.from, b.taken = from, b.taken+n
	}
	b.reserve(n)
	return true
}

// reserve makes room for n more bytes, so that appending them never grows the slice and leaves a copy behind.
func (b *buffer) reserve(n int) {
	if cap(b.b)-len(b.b) >= n {
		return
	}
	nb := make([]byte, len(b.b), 2*cap(b.b)+n)
	copy(nb, b.b)
	secret.Wipe(b.b)
	b.b = nb
}

// raw appends s as it is.
func (b *buffer) raw(s []byte) {
	b.reserve(len(s))
	b.b = append(b.b, s...)
}

// text appends static text.
func (b *buffer) text(s string) {
	b.reserve(len(s))
	b.b = append(b.b, s...)
}

// str appends s as a JSON string.
func (b *buffer) str(s []byte) {
	b.reserve(roomFor(s) + 2)
	b.b = jsonscan.AppendString(b.b, s)
}

// inner appends s as the inside of a JSON string.
func (b *buffer) inner(s []byte) {
	b.reserve(roomFor(s))
	b.b = jsonscan.AppendInner(b.b, s)
}

// roomFor is enough room for s with its escapes. A short s is not examined.
func roomFor(s []byte) int {
	if n := jsonscan.MaxEscaped * len(s); n <= roomUnseen {
		return n
	}
	return jsonscan.EscapedLen(s)
}

// base64 appends s as a JSON string of standard base64.
func (b *buffer) base64(s []byte) {
	b.reserve(strictBase64.EncodedLen(len(s)) + 2)
	b.b = append(b.b, '"')
	b.b = strictBase64.AppendEncode(b.b, s)
	b.b = append(b.b, '"')
}
