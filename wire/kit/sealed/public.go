package sealed

import (
	"crypto/ecdsa"
	"crypto/x509"

	"github.com/cloudflare/circl/kem"
)

// PublicKey is a recipient's public key, checked to be a point of the suite's curve other than infinity.
// It may be used by several goroutines.
type PublicKey struct {
	suite Suite
	pk    kem.PublicKey
	point []byte
}

// ParsePublicKey reads a DER SubjectPublicKeyInfo (RFC 5480) with a named curve and an uncompressed point. der is not
// kept. Error: [ErrKey], also if the curve is not the suite's.
func ParsePublicKey(suite Suite, der []byte) (*PublicKey, error) {
	p := suite.params()
	if p == nil {
		return nil, ErrKey
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, ErrKey
	}
	ec, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, ErrKey
	}
	point, err := ec.ECDH()
	if err != nil || point.Curve() != p.curve {
		return nil, ErrKey
	}
	return publicKey(suite, point.Bytes())
}

func publicKey(suite Suite, point []byte) (*PublicKey, error) {
	pk, err := suite.params().kem.Scheme().UnmarshalBinaryPublicKey(point)
	if err != nil {
		return nil, ErrKey
	}
	return &PublicKey{suite: suite, pk: pk, point: point}, nil
}

// Suite returns the key's suite.
func (k *PublicKey) Suite() Suite { return k.suite }

// AppendPoint appends the uncompressed point (SEC 1, section 2.3.3).
func (k *PublicKey) AppendPoint(dst []byte) []byte { return append(dst, k.point...) }
