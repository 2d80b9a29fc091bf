package wire

import (
	"encoding/binary"
	"math"
)

// reader walks over a message. The first failure is kept, and the getters then return zero values. So a decoder
// checks once, at the end of a section.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) u8() uint8 {
	if len(r.b) < 1 {
		r.fail(ErrTruncated)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) u16() uint16 {
	if len(r.b) < 2 {
		r.fail(ErrTruncated)
		return 0
	}
	v := binary.LittleEndian.Uint16(r.b)
	r.b = r.b[2:]
	return v
}

func (r *reader) u64() uint64 {
	if len(r.b) < 8 {
		r.fail(ErrTruncated)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) i64() int64 { return int64(r.u64()) }

// uvarint reads an unsigned LEB128 of at most ten bytes in its shortest form.
func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(ErrTruncated)
		return 0
	case n < 0, r.b[n-1] == 0:
		r.fail(ErrVarint)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) u32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail(ErrValue)
		return 0
	}
	return uint32(v)
}

// svarint reads a zigzag-coded signed number.
func (r *reader) svarint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// bytes reads a length and that many bytes, borrowed; the length is checked before anything else.
func (r *reader) bytes(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail(ErrLimit)
		return nil
	}
	if n > uint64(len(r.b)) {
		r.fail(ErrTruncated)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count reads a number of elements. Each element takes at least least bytes of what is left.
func (r *reader) count(limit, least int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail(ErrLimit)
		return 0
	}
	if int(n)*least > len(r.b) {
		r.fail(ErrTruncated)
		return 0
	}
	return int(n)
}

// extension reads the next (tag, value) of the section that ends each message. It reports false at the end.
func (r *reader) extension() (tag uint64, value []byte, ok bool) {
	if r.err != nil || len(r.b) == 0 {
		return 0, nil, false
	}
	tag = r.uvarint()
	value = r.bytes(MaxBody)
	if r.err != nil {
		r.err = ErrExtension
		return 0, nil, false
	}
	return tag, value, true
}

// skipExtensions checks the section of a message that knows no extension.
func (r *reader) skipExtensions() error {
	for {
		if _, _, ok := r.extension(); !ok {
			return r.err
		}
	}
}

func appendBytes(dst, v []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

func appendI64(dst []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(v))
}

func appendSvarint(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

func appendExtension(dst []byte, tag uint64, value []byte) []byte {
	return appendBytes(binary.AppendUvarint(dst, tag), value)
}

// grow lengthens s by one element and returns it, reusing what the array held before.
func grow[T any](s []T) ([]T, *T) {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else {
		var zero T
		s = append(s, zero)
	}
	return s, &s[len(s)-1]
}
