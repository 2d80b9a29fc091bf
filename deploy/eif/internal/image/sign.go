package image

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The signature section is a CBOR array of one map: the signing certificate (PEM) and an untagged COSE_Sign1
// (RFC 9052, ES384) over {register_index: 0, register_value: PCR0}. Byte strings of the maps are arrays of integers,
// as the format's own tools write them.
type pcrSignature struct {
	Certificate intBytes `cbor:"signing_certificate"`
	Signature   intBytes `cbor:"signature"`
}

type pcrInfo struct {
	Index int      `cbor:"register_index"`
	Value intBytes `cbor:"register_value"`
}

type intBytes []uint16

func toInts(b []byte) intBytes {
	out := make(intBytes, len(b))
	for i, v := range b {
		out[i] = uint16(v)
	}
	return out
}

func (n intBytes) bytes() ([]byte, error) {
	out := make([]byte, len(n))
	for i, v := range n {
		if v > 0xff {
			return nil, fmt.Errorf("%w: a byte over 255 in the signature", ErrFormat)
		}
		out[i] = byte(v)
	}
	return out, nil
}

const coordinateSize = 48 // bytes of a P-384 scalar

// protectedES384 is the COSE protected header {1: -35}.
var protectedES384 = []byte{0xa1, 0x01, 0x38, 0x22}

// maxSignature bounds the section before it is decoded, bytes.
const maxSignature = 64 << 10

// Sign sets the image's signature section. The key must be P-384 and belong to the certificate. ECDSA is used in its
// deterministic form (RFC 6979), so that signing again gives the same bytes.
func (im *Image) Sign(certPEM []byte, key *ecdsa.PrivateKey) error {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return err
	}
	if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P384() || !pub.Equal(key.Public()) {
		return errors.New("the signing key is not the P-384 key of the signing certificate")
	}
	payload, err := im.signedPayload()
	if err != nil {
		return err
	}
	digest, err := sigStructure(protectedES384, payload)
	if err != nil {
		return err
	}
	der, err := key.Sign(nil, digest, crypto.SHA384) // no randomness: RFC 6979
	if err != nil {
		return fmt.Errorf("sign the image: %w", err)
	}
	raw, err := rawSignature(der)
	if err != nil {
		return err
	}
	cose, err := cbor.Marshal([]any{protectedES384, map[int]int{}, payload, raw})
	if err != nil {
		return fmt.Errorf("encode the signature: %w", err)
	}
	im.Signature, err = cbor.Marshal([]pcrSignature{{toInts(certPEM), toInts(cose)}})
	if err != nil {
		return fmt.Errorf("encode the signature section: %w", err)
	}
	return nil
}

// VerifySignature checks the signature section against the image's own PCR0 and the certificate inside. It does not
// say whether that certificate is trusted: compare PCR8 for that.
func (im *Image) VerifySignature() error {
	if len(im.Signature) == 0 {
		return errors.New("the image is not signed")
	}
	cert, cose, err := parseSignature(im.Signature)
	if err != nil {
		return err
	}
	var parts struct {
		_         struct{} `cbor:",toarray"`
		Protected []byte
		Header    map[int]any
		Payload   []byte
		Signature []byte
	}
	if err := cbor.Unmarshal(cose, &parts); err != nil {
		return fmt.Errorf("%w: COSE_Sign1", ErrFormat)
	}
	want, err := im.signedPayload()
	if err != nil {
		return err
	}
	digest, err := sigStructure(parts.Protected, parts.Payload)
	if err != nil {
		return err
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P384() || len(parts.Signature) != 2*coordinateSize ||
		string(parts.Protected) != string(protectedES384) || string(parts.Payload) != string(want) ||
		!ecdsa.Verify(pub, digest, new(big.Int).SetBytes(parts.Signature[:coordinateSize]),
			new(big.Int).SetBytes(parts.Signature[coordinateSize:])) {
		return errors.New("the image's signature is not one of its certificate over its PCR0")
	}
	return nil
}

func (im *Image) signedPayload() ([]byte, error) {
	pcr0 := extend(append([][]byte{im.Kernel, []byte(im.Cmdline)}, im.Ramdisks...)...)
	return cbor.Marshal(pcrInfo{Index: 0, Value: toInts(pcr0[:])})
}

// sigStructure is the digest of COSE's Sig_structure (RFC 9052, section 4.4).
func sigStructure(protected, payload []byte) ([]byte, error) {
	b, err := cbor.Marshal([]any{"Signature1", protected, []byte{}, payload})
	if err != nil {
		return nil, fmt.Errorf("encode Sig_structure: %w", err)
	}
	sum := sha512.Sum384(b)
	return sum[:], nil
}

func parseSignature(section []byte) (*x509.Certificate, []byte, error) {
	if len(section) > maxSignature {
		return nil, nil, fmt.Errorf("%w: signature section over %d bytes", ErrFormat, maxSignature)
	}
	var sigs []pcrSignature
	if err := cbor.Unmarshal(section, &sigs); err != nil || len(sigs) != 1 {
		return nil, nil, fmt.Errorf("%w: signature section", ErrFormat)
	}
	pemBytes, err := sigs[0].Certificate.bytes()
	if err != nil {
		return nil, nil, err
	}
	cose, err := sigs[0].Signature.bytes()
	if err != nil {
		return nil, nil, err
	}
	cert, err := parseCertificate(pemBytes)
	return cert, cose, err
}

func parseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the signing certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the signing certificate: %w", err)
	}
	return cert, nil
}

// rawSignature turns the DER of an ECDSA P-384 signature into r ‖ s of fixed width, as COSE wants it (RFC 9053, 2.1).
func rawSignature(der []byte) ([]byte, error) {
	var r, s big.Int
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&r) ||
		!seq.ReadASN1Integer(&s) || !seq.Empty() {
		return nil, errors.New("malformed ECDSA signature")
	}
	out := make([]byte, 2*coordinateSize)
	r.FillBytes(out[:coordinateSize])
	s.FillBytes(out[coordinateSize:])
	return out, nil
}
