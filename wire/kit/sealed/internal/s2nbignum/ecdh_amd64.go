//go:build s2nbignum

package s2nbignum

import "golang.org/x/sys/cpu"

const has521 = true

// alt says that the processor lacks what the faster forms need.
var alt = !cpu.X86.HasBMI2 || !cpu.X86.HasADX

func scalarMult384(z *point384, k *element384, p *point384) {
	if alt {
		p384_montjscalarmul_alt(z, k, p)
	} else {
		p384_montjscalarmul(z, k, p)
	}
}

func multiply384(z, x, y *element384) {
	if alt {
		bignum_montmul_p384_alt(z, x, y)
	} else {
		bignum_montmul_p384(z, x, y)
	}
}

func square384(z, x *element384) {
	if alt {
		bignum_montsqr_p384_alt(z, x)
	} else {
		bignum_montsqr_p384(z, x)
	}
}

func toMont384(z, x *element384) {
	if alt {
		bignum_tomont_p384_alt(z, x)
	} else {
		bignum_tomont_p384(z, x)
	}
}

func fromMont384(z, x *element384) {
	if alt {
		bignum_demont_p384_alt(z, x)
	} else {
		bignum_demont_p384(z, x)
	}
}

func inverse384(z, x *element384) { bignum_montinv_p384(z, x) }

type (
	element521 [limbs521]uint64
	point521   [3]element521 // Jacobian
)

func ecdh521(dst, scalar, xy []byte) bool {
	var (
		k element521
		p point521
		x element521
	)
	toLimbs(k[:], scalar)
	toLimbs(p[0][:], xy[:len(xy)/2])
	toLimbs(p[1][:], xy[len(xy)/2:])
	p[2] = element521{1}

	scalarMult521(&p, &k, &p)
	infinity := zero(p[2][:])
	bignum_inv_p521(&x, &p[2])
	square521(&x, &x)
	multiply521(&x, &p[0], &x)
	fromLimbs(dst, x[:])

	clear(k[:])
	clear(x[:])
	p = point521{}
	return !infinity
}

// These are calls by name, not by a variable: then the compiler knows that the arguments do not escape.

func scalarMult521(z *point521, k *element521, p *point521) {
	if alt {
		p521_jscalarmul_alt(z, k, p)
	} else {
		p521_jscalarmul(z, k, p)
	}
}

func multiply521(z, x, y *element521) {
	if alt {
		bignum_mul_p521_alt(z, x, y)
	} else {
		bignum_mul_p521(z, x, y)
	}
}

func square521(z, x *element521) {
	if alt {
		bignum_sqr_p521_alt(z, x)
	} else {
		bignum_sqr_p521(z, x)
	}
}

// The names are s2n-bignum's, so that they can be found there.

//go:noescape
func p384_montjscalarmul(z *point384, x *element384, y *point384)

//go:noescape
func p384_montjscalarmul_alt(z *point384, x *element384, y *point384)

//go:noescape
func bignum_montmul_p384(z, x, y *element384)

//go:noescape
func bignum_montmul_p384_alt(z, x, y *element384)

//go:noescape
func bignum_montsqr_p384(z, x *element384)

//go:noescape
func bignum_montsqr_p384_alt(z, x *element384)

//go:noescape
func bignum_montinv_p384(z, x *element384)

//go:noescape
func bignum_tomont_p384(z, x *element384)

//go:noescape
func bignum_tomont_p384_alt(z, x *element384)

//go:noescape
func bignum_demont_p384(z, x *element384)

//go:noescape
func bignum_demont_p384_alt(z, x *element384)

//go:noescape
func p521_jscalarmul(z *point521, x *element521, y *point521)

//go:noescape
func p521_jscalarmul_alt(z *point521, x *element521, y *point521)

//go:noescape
func bignum_mul_p521(z, x, y *element521)

//go:noescape
func bignum_mul_p521_alt(z, x, y *element521)

//go:noescape
func bignum_sqr_p521(z, x *element521)

//go:noescape
func bignum_sqr_p521_alt(z, x *element521)

//go:noescape
func bignum_inv_p521(z, x *element521)
