package secret

import (
	"runtime"
	"sync"
)

// MaxBuffer is the largest Buffer in bytes.
const MaxBuffer = 1 << 26

// Buffer is one secret of fixed size in memory of its own. Its zero value is empty and destroyed. Several goroutines
// may call its methods. The bytes themselves are not guarded.
type Buffer struct {
	mu    sync.Mutex
	pages pages
	n     int
}

// New returns a zeroed Buffer of n bytes, 1 <= n <= [MaxBuffer]. The caller MUST call Destroy. Errors: [ErrSize], a
// *[LockError] under [RequireLock], or the system's refusal to map memory.
func New(n int) (*Buffer, error) {
	if n <= 0 || n > MaxBuffer {
		return nil, ErrSize
	}
	p, err := mapPages(n)
	if err != nil {
		return nil, err
	}
	return &Buffer{pages: p, n: n}, nil
}

// NewFrom moves src into a new Buffer: src is wiped whether or not it succeeds.
func NewFrom(src []byte) (*Buffer, error) {
	defer Wipe(src)
	b, err := New(len(src))
	if err != nil {
		return nil, err
	}
	copy(b.pages.mem, src)
	return b, nil
}

// Bytes returns the secret itself, not a copy, and nil after Destroy. The slice MUST NOT be used once Destroy was
// called: touching it then is a fault that ends the process.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pages.mem == nil {
		return nil
	}
	return b.pages.mem[:b.n:b.n]
}

// Truncate shortens the secret to its first n bytes and wipes the rest. It does nothing if the secret is not longer, or
// destroyed. Slices that Bytes returned before keep their length.
func (b *Buffer) Truncate(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pages.mem == nil || n < 0 || n >= b.n {
		return
	}
	Wipe(b.pages.mem[n:b.n])
	b.n = n
}

// Len returns the size in bytes, and 0 after Destroy.
func (b *Buffer) Len() int { return len(b.Bytes()) }

// Destroy wipes the secret and returns its memory. It is safe to call more than once, and on nil.
func (b *Buffer) Destroy() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages.release()
	b.n = 0
}

// Wipe overwrites b, up to its length, with zeros. The compiler does not remove it.
//
//go:noinline
func Wipe(b []byte) {
	clear(b)
	runtime.KeepAlive(b)
}
