package domain

import "encoding/binary"

// appendL appends the length of v as u16, and v, which is shorter than 64 KiB.
func appendL[T string | []byte](dst []byte, v T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(v)))
	return append(dst, v...)
}

// reader takes an encoding apart. After the first thing that is missing it gives zeros, and done is false. What it
// returns borrows from what it reads.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || len(r.rest) < n {
		r.failed = true
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) l() []byte { return r.take(int(r.u16())) }

// done reports whether everything was there, and nothing more.
func (r *reader) done() bool { return !r.failed && len(r.rest) == 0 }
