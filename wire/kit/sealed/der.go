package sealed

import (
	encasn1 "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// keyParts borrows from the DER that it was read from. x509.ParsePKCS8PrivateKey would read it too, but leaves copies
// of the scalar in big.Int and asn1 values, which cannot be wiped.
type keyParts struct {
	scalar []byte
	inner  []byte // public key of ECPrivateKey, absent when empty
	outer  []byte // public key of OneAsymmetricKey, absent when empty
}

var oidECPublicKey = encasn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}

var (
	tagContext0 = asn1.Tag(0).ContextSpecific().Constructed() // attributes; parameters
	tagContext1 = asn1.Tag(1).ContextSpecific()               // OneAsymmetricKey's publicKey, implicit BIT STRING
)

// readPrivateKey reads PKCS#8 or SEC 1. Both are a SEQUENCE that begins with a version; the next element tells which
// it is.
func readPrivateKey(p *params, der []byte) (keyParts, bool) {
	input, seq := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&seq, asn1.SEQUENCE) || !input.Empty() {
		return keyParts{}, false
	}
	var version int
	rest := seq
	if !rest.ReadASN1Integer(&version) {
		return keyParts{}, false
	}
	if rest.PeekASN1Tag(asn1.OCTET_STRING) {
		return readECPrivateKey(p, seq)
	}
	return readPKCS8(p, version, rest)
}

// readPKCS8 reads PrivateKeyInfo (RFC 5208 section 5, version 0) or OneAsymmetricKey (RFC 5958 section 2, version 1)
// after its version.
func readPKCS8(p *params, version int, seq cryptobyte.String) (keyParts, bool) {
	var algorithm, octets cryptobyte.String
	var oid encasn1.ObjectIdentifier
	if version < 0 || version > 1 ||
		!seq.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidECPublicKey) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(p.oid) || !algorithm.Empty() ||
		!seq.ReadASN1(&octets, asn1.OCTET_STRING) ||
		!seq.SkipOptionalASN1(tagContext0) {
		return keyParts{}, false
	}
	var outer cryptobyte.String
	var present bool
	if !seq.ReadOptionalASN1(&outer, &present, tagContext1) || !seq.Empty() || present && !dropUnusedBits(&outer) {
		return keyParts{}, false
	}
	var inner cryptobyte.String
	if !octets.ReadASN1(&inner, asn1.SEQUENCE) || !octets.Empty() {
		return keyParts{}, false
	}
	parts, ok := readECPrivateKey(p, inner)
	parts.outer = outer
	return parts, ok
}

// readECPrivateKey reads the content of an ECPrivateKey (RFC 5915 section 3).
func readECPrivateKey(p *params, seq cryptobyte.String) (keyParts, bool) {
	var version int
	var scalar, parameters, wrapped, point cryptobyte.String
	var hasParameters, hasPoint bool
	if !seq.ReadASN1Integer(&version) || version != 1 ||
		!seq.ReadASN1(&scalar, asn1.OCTET_STRING) ||
		!seq.ReadOptionalASN1(&parameters, &hasParameters, tagContext0) ||
		!seq.ReadOptionalASN1(&wrapped, &hasPoint, tagContext1.Constructed()) || !seq.Empty() {
		return keyParts{}, false
	}
	if hasParameters {
		var oid encasn1.ObjectIdentifier
		if !parameters.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(p.oid) || !parameters.Empty() {
			return keyParts{}, false
		}
	}
	if hasPoint && (!wrapped.ReadASN1(&point, asn1.BIT_STRING) || !wrapped.Empty() || !dropUnusedBits(&point)) {
		return keyParts{}, false
	}
	return keyParts{scalar: scalar, inner: point}, true
}

// dropUnusedBits takes off the first byte of a BIT STRING, which must say that all bits count.
func dropUnusedBits(s *cryptobyte.String) bool {
	var unused uint8
	return s.ReadUint8(&unused) && unused == 0 && len(*s) > 0
}
