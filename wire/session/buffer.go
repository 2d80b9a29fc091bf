package session

import "sync"

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
