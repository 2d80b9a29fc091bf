package sealed

import (
	"crypto/subtle"

	"github.com/cloudflare/circl/kem"

	"redoubt/wire/kit/secret"
)

// PrivateKey is a recipient's private key, ready for key agreement. It may be used by several goroutines until
// Destroy. It prints as [secret.Redacted].
type PrivateKey struct {
	suite Suite
	sk    kem.PrivateKey
	point []byte // the public key
}

// ParsePrivateKey reads DER: PKCS#8 (RFC 5208, RFC 5958), with or without a public key, or SEC 1 (RFC 5915). It costs
// one base-point multiplication: the public key is always computed, and a given one must be equal to it. der is
// neither kept nor wiped. Error: [ErrKey], also if the curve is not the suite's.
func ParsePrivateKey(suite Suite, der []byte) (*PrivateKey, error) {
	p := suite.params()
	if p == nil {
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
	sk, err := p.kem.Scheme().UnmarshalBinaryPrivateKey(fixed)
	if err != nil {
		return nil
	}
	point, err := sk.Public().MarshalBinary()
	if err != nil || !samePoint(point, parts.inner) || !samePoint(point, parts.outer) {
		wipeScalar(sk)
		return nil
	}
	return &PrivateKey{suite: suite, sk: sk, point: point}
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
	return &PublicKey{suite: k.suite, pk: k.sk.Public(), point: k.point}
}

// Destroy wipes the scalar where the libraries keep it. No other method may be running, and none may be called
// afterwards.
func (k *PrivateKey) Destroy() {
	wipeScalar(k.sk)
	k.sk = nil
}
