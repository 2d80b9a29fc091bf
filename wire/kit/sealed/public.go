package sealed

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"

	"github.com/cloudflare/circl/kem"
)

// PublicKey is a recipient's public key, checked as [NewPublicKey] says.
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
	if p == nil || p.curve == nil {
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

// NewPublicKey reads a serialized public key (SerializePublicKey of RFC 9180, section 7.1.1) of exactly
// [Suite.PublicSize] bytes: an uncompressed point that is on the curve and not infinity, or X-Wing's two keys, of which
// ML-KEM's passes the check of FIPS 203, section 7.2. raw is not kept. Error: [ErrKey].
func NewPublicKey(suite Suite, raw []byte) (*PublicKey, error) {
	p := suite.params()
	if p == nil || len(raw) != p.pkSize || p.curve != nil && raw[0] != pointByte {
		return nil, ErrKey
	}
	return publicKey(suite, bytes.Clone(raw))
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

// AppendPoint appends the serialized public key, [Suite.PublicSize] bytes: the uncompressed point (SEC 1, section
// 2.3.3), or X-Wing's public key.
func (k *PublicKey) AppendPoint(dst []byte) []byte { return append(dst, k.point...) }
