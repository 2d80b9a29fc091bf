//go:build s2nbignum && (amd64 || arm64)

package s2nbignum

import (
	"crypto/ecdh"
	"encoding/binary"
)

// limbs384 and limbs521 are the 64-bit limbs of a field element, the least significant first.
const (
	limbs384 = 6
	limbs521 = 9
)

type (
	element384 [limbs384]uint64
	point384   [3]element384 // Jacobian, in Montgomery form
)

// Has reports whether this build has code for the curve.
func Has(c ecdh.Curve) bool { return c == ecdh.P384() || c == ecdh.P521() && has521 }

// ECDH writes the x coordinate of scalar times point to dst (RFC 9180, section 4.1; SEC 1, section 3.3.1). dst and
// scalar have the size of a coordinate, 48 or 66 bytes, big endian; the scalar is between 1 and the order less 1. point
// is uncompressed and MUST be on the curve. It returns false, and leaves dst zero, for a result that is infinity, for
// other sizes, and for curves without code. The slices are borrowed.
func ECDH(c ecdh.Curve, dst, scalar, point []byte) bool {
	clear(dst)
	size := len(dst)
	if len(scalar) != size || len(point) != 1+2*size {
		return false
	}
	switch {
	case c == ecdh.P384() && size == 48:
		return ecdh384(dst, scalar, point[1:])
	case c == ecdh.P521() && size == 66 && has521:
		return ecdh521(dst, scalar, point[1:])
	}
	return false
}

func ecdh384(dst, scalar, xy []byte) bool {
	var (
		k     element384
		p     point384
		plain element384
	)
	toLimbs(k[:], scalar)
	toLimbs(plain[:], xy[:len(xy)/2])
	toMont384(&p[0], &plain)
	toLimbs(plain[:], xy[len(xy)/2:])
	toMont384(&p[1], &plain)
	plain = element384{1}
	toMont384(&p[2], &plain)

	scalarMult384(&p, &k, &p)
	infinity := zero(p[2][:])
	// x = X / Z^2; the inverse of zero is zero.
	inverse384(&plain, &p[2])
	square384(&plain, &plain)
	multiply384(&plain, &p[0], &plain)
	fromMont384(&plain, &plain)
	fromLimbs(dst, plain[:])

	clear(k[:])
	clear(plain[:])
	p = point384{}
	return !infinity
}

// toLimbs reads big endian bytes.
func toLimbs(z []uint64, b []byte) {
	var word [8]byte
	for i := range z {
		from := max(0, len(b)-8)
		word = [8]byte{}
		copy(word[8-(len(b)-from):], b[from:])
		z[i] = binary.BigEndian.Uint64(word[:])
		b = b[:from]
	}
	clear(word[:])
}

// fromLimbs writes big endian bytes.
func fromLimbs(b []byte, z []uint64) {
	var word [8]byte
	for _, limb := range z {
		binary.BigEndian.PutUint64(word[:], limb)
		from := max(0, len(b)-8)
		copy(b[from:], word[8-(len(b)-from):])
		b = b[:from]
	}
	clear(word[:])
}

// zero looks at all limbs whatever they hold.
func zero(z []uint64) bool {
	all := uint64(0)
	for _, limb := range z {
		all |= limb
	}
	return all == 0
}
