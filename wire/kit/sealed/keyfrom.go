package sealed

import "redoubt/wire/kit/secret"

// KeyFrom writes the serialized private key that ikm gives, [Suite.PrivateSize] bytes, to dst. ikm has that size too,
// and is uniformly random. For a curve it is DeriveKeyPair of RFC 9180, section 7.1.3. For X-Wing ikm is the key: the
// DeriveKeyPair of circl and that of crypto/hpke differ from each other, so neither is used. Error: [ErrKey] for other
// sizes.
func KeyFrom(suite Suite, dst, ikm []byte) error {
	p := suite.params()
	if p == nil || len(dst) != p.scalar || len(ikm) != p.scalar {
		return ErrKey
	}
	if p.curve == nil {
		copy(dst, ikm)
		return nil
	}
	ok := false
	secret.Do(func() { ok = p.deriveScalar(dst, ikm) })
	if !ok {
		secret.Wipe(dst)
		return ErrKey
	}
	return nil
}

func (p *params) deriveScalar(dst, ikm []byte) bool {
	var buf [maxHashSize]byte
	defer secret.Wipe(buf[:])
	kem, prk := p.kemID(), buf[:p.nh]
	if !p.extract(prk, kem[:], nil, "dkp_prk", ikm) {
		return false
	}
	for counter := range 256 {
		if !p.expand(kem[:], dst, prk, "candidate", []byte{byte(counter)}) {
			return false
		}
		if p.scalar == maxScalarSize {
			dst[0] &= 1 // the bitmask of P-521
		}
		if inRange(dst, p.order) {
			return true
		}
	}
	return false
}

// inRange reports whether 0 < scalar < order, in time that does not depend on the scalar. Both have the same size.
func inRange(scalar, order []byte) bool {
	var borrow int
	var bits byte
	for i := len(scalar) - 1; i >= 0; i-- {
		borrow = (int(scalar[i]) - int(order[i]) - borrow) >> 8 & 1
		bits |= scalar[i]
	}
	return borrow == 1 && bits != 0
}
