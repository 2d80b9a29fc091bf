package sealed

import (
	"bytes"
	"crypto/ecdh"
	"crypto/subtle"

	"github.com/cloudflare/circl/kem/xwing"

	"redoubt/wire/kit/sealed/internal/s2nbignum"
	"redoubt/wire/kit/secret"
)

// PrivateKey is a recipient's private key, ready for key agreement. It may be used by several goroutines until
// Destroy. It prints as [secret.Redacted].
type PrivateKey struct {
	suite  Suite
	sk     *ecdh.PrivateKey  // nil where package s2nbignum does the key agreement, and for X-Wing
	scalar []byte            // what s2nbignum does it with; nil elsewhere
	point  []byte            // the public key; nil for X-Wing
	xwing  *xwing.PrivateKey // the expanded key; nil but for X-Wing
}

// ParsePrivateKey reads DER: PKCS#8 (RFC 5208, RFC 5958), with or without a public key, or SEC 1 (RFC 5915). It costs
// one base-point multiplication: the public key is always computed, and a given one must be equal to it. der is
// neither kept nor wiped. Error: [ErrKey], also if the curve is not the suite's.
func ParsePrivateKey(suite Suite, der []byte) (*PrivateKey, error) {
	p := suite.params()
	if p == nil || p.curve == nil {
		return nil, ErrKey
	}
	var key *PrivateKey
	secret.Do(func() { key = parsePrivateKey(suite, p, der) })
	if key == nil {
		return nil, ErrKey
	}
	return key, nil
}

func parsePrivateKey(suite Suite, p *params, der []byte) *PrivateKey {
	parts, ok := readPrivateKey(p, der)
	if !ok {
		return nil
	}
	var scalar [maxScalarSize]byte
	defer secret.Wipe(scalar[:])
	fixed := scalar[:p.scalar]
	if !fillScalar(fixed, parts.scalar) {
		return nil
	}
	key := newCurveKey(suite, p, fixed)
	if key != nil && (!samePoint(key.point, parts.inner) || !samePoint(key.point, parts.outer)) {
		key.Destroy()
		return nil
	}
	return key
}

// newCurveKey makes a key of a scalar of the suite's size, which it copies. It returns nil for 0 and for the order of
// the curve and beyond.
func newCurveKey(suite Suite, p *params, scalar []byte) *PrivateKey {
	sk, err := p.curve.NewPrivateKey(scalar)
	if err != nil {
		return nil
	}
	point := sk.PublicKey().Bytes()
	if s2nbignum.Has(p.curve) {
		wipeScalar(sk)
		return &PrivateKey{suite: suite, scalar: bytes.Clone(scalar), point: point}
	}
	return &PrivateKey{suite: suite, sk: sk, point: point}
}

// NewPrivateKey reads a serialized private key (SerializePrivateKey of RFC 9180, section 7.1.2; for X-Wing its seed) of
// exactly [Suite.PrivateSize] bytes. For a curve it costs one base-point multiplication, for X-Wing the expansion of
// the seed. raw is neither kept nor wiped. Error: [ErrKey].
func NewPrivateKey(suite Suite, raw []byte) (*PrivateKey, error) {
	p := suite.params()
	if p == nil || len(raw) != p.scalar {
		return nil, ErrKey
	}
	var key *PrivateKey
	secret.Do(func() {
		if p.curve != nil {
			key = newCurveKey(suite, p, raw)
			return
		}
		key = &PrivateKey{suite: suite, xwing: new(xwing.PrivateKey)}
		key.xwing.Unpack(raw)
	})
	if key == nil {
		return nil, ErrKey
	}
	return key, nil
}

// agree writes the x coordinate of the key's scalar times enc to dst, which has its size (RFC 9180, section 4.1). It
// returns false when enc is no uncompressed point of the curve, or infinity.
func (k *PrivateKey) agree(dst, enc []byte) bool {
	curve := k.suite.Curve()
	peer, err := curve.NewPublicKey(enc)
	if err != nil {
		return false
	}
	if k.sk == nil {
		return s2nbignum.ECDH(curve, dst, k.scalar, enc)
	}
	erased := k.suite.params().erase
	if !erased {
		wipeStack() // The stack grows here. Later it would grow by a copy, and leave limbs on the old stack.
	}
	dh, err := k.sk.ECDH(peer)
	if !erased {
		wipeStack()
	}
	if err != nil {
		return false
	}
	copy(dst, dh)
	secret.Wipe(dh)
	return true
}

// fillScalar right-aligns s in dst. SEC 1 requires the exact size. But some writers drop or add leading zeros, and
// the reference accepts such keys.
func fillScalar(dst, s []byte) bool {
	for len(s) > len(dst) {
		if s[0] != 0 {
			return false
		}
		s = s[1:]
	}
	copy(dst[len(dst)-len(s):], s)
	return len(s) > 0
}

// samePoint compares an uncompressed point with the one that a key file gives: absent, uncompressed or compressed.
func samePoint(point, given []byte) bool {
	switch {
	case len(given) == 0:
		return true
	case given[0] == pointByte:
		return subtle.ConstantTimeCompare(point, given) == 1
	case given[0] == 2 || given[0] == 3:
		size := (len(point) - 1) / 2
		return given[0]&1 == point[2*size]&1 && subtle.ConstantTimeCompare(point[1:1+size], given[1:]) == 1
	}
	return false
}

// Suite returns the key's suite.
func (k *PrivateKey) Suite() Suite { return k.suite }

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey {
	if k.xwing != nil {
		pk := k.xwing.Public()
		raw, err := pk.MarshalBinary()
		if err != nil {
			panic("sealed: an expanded key has no public key")
		}
		return &PublicKey{suite: k.suite, pk: pk, point: raw}
	}
	pk, err := publicKey(k.suite, k.point)
	if err != nil {
		panic("sealed: a private key's own point is not on its curve")
	}
	return pk
}

// Destroy wipes the scalar, also where crypto/ecdh keeps it. No other method may be running, and none may be called
// afterwards.
func (k *PrivateKey) Destroy() {
	wipeScalar(k.sk)
	secret.Wipe(k.scalar)
	wipeXWing(k.xwing)
	k.sk, k.scalar, k.xwing = nil, nil, nil
}

// wipeStack overwrites the part of the goroutine's stack on which crypto/ecdh leaves limbs of a scalar. It is for the
// suite whose key agreement package secret does not erase.
//
//go:noinline
func wipeStack() {
	var frame [8 << 10]byte
	secret.Wipe(frame[:])
}
