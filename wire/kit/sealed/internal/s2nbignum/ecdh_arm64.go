//go:build s2nbignum

package s2nbignum

const has521 = false

func ecdh521(_, _, _ []byte) bool { return false }

func scalarMult384(z *point384, k *element384, p *point384) { p384_montjscalarmul_alt(z, k, p) }

func multiply384(z, x, y *element384) { bignum_montmul_p384_alt(z, x, y) }

func square384(z, x *element384) { bignum_montsqr_p384_alt(z, x) }

func toMont384(z, x *element384) { bignum_tomont_p384(z, x) }

func fromMont384(z, x *element384) { bignum_demont_p384(z, x) }

func inverse384(z, x *element384) { bignum_montinv_p384(z, x) }

// The names are s2n-bignum's, so that they can be found there.

//go:noescape
func p384_montjscalarmul_alt(z *point384, x *element384, y *point384)

//go:noescape
func bignum_montmul_p384_alt(z, x, y *element384)

//go:noescape
func bignum_montsqr_p384_alt(z, x *element384)

//go:noescape
func bignum_montinv_p384(z, x *element384)

//go:noescape
func bignum_tomont_p384(z, x *element384)

//go:noescape
func bignum_demont_p384(z, x *element384)
