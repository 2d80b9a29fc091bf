package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

const (
	// MaxDocument is the size limit of a document in bytes: the Nitro Secure Module answers with 12 KiB at most.
	MaxDocument = 16 << 10

	tagSign1      = 0xd2 // CBOR tag 18 in its shortest form
	algES384      = -35
	algNone       = -1 // no algorithm at all: QEMU writes it, since it does not sign
	signatureSize = 96 // r and s, 48 bytes each, big-endian
	unsignedSize  = 64 // size of what QEMU writes instead of certificate and signature
)

// strict decodes both COSE and payload. Depth 4 is the smallest limit that the library accepts; the payload has depth
// 2.
var strict = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		UTF8:              cbor.UTF8RejectInvalid,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       MaxPCRs,
	}.DecMode()
	if err != nil {
		panic("attest: invalid decoder options")
	}
	return mode
}()

// sign1 is a COSE_Sign1 message with protected header and payload as received.
type sign1 struct {
	protected, payload, signature []byte
}

// parseSign1 accepts a message whose algorithm is alg.
func parseSign1(document []byte, alg int64) (*sign1, error) {
	if len(document) == 0 || len(document) > MaxDocument {
		return nil, fmt.Errorf("%w: size", ErrFormat)
	}
	if document[0] == tagSign1 {
		document = document[1:]
	}
	var parts []cbor.RawMessage
	if err := strict.Unmarshal(document, &parts); err != nil || len(parts) != 4 {
		return nil, fmt.Errorf("%w: not a COSE_Sign1 message", ErrFormat)
	}
	var msg sign1
	var err error
	if msg.protected, err = byteString(parts[0]); err != nil {
		return nil, err
	}
	if err := checkHeaders(msg.protected, parts[1], alg); err != nil {
		return nil, err
	}
	if msg.payload, err = byteString(parts[2]); err != nil {
		return nil, err
	}
	if msg.signature, err = byteString(parts[3]); err != nil {
		return nil, err
	}
	// The unsigned parts must have one spelling too: lengths in their shortest form.
	shortest, err := cbor.Marshal([]any{msg.protected, map[int]int{}, msg.payload, msg.signature})
	if err != nil || !bytes.Equal(shortest, document) {
		return nil, fmt.Errorf("%w: not in its shortest form", ErrFormat)
	}
	return &msg, nil
}

// checkHeaders requires the algorithm as the only protected header, and no unprotected one. So no "crit", no key id
// and no certificate chosen by the carrier can have an effect.
func checkHeaders(protected []byte, unprotected cbor.RawMessage, want int64) error {
	var headers map[int64]int64
	if err := strict.Unmarshal(protected, &headers); err != nil {
		return fmt.Errorf("%w: protected header", ErrFormat)
	}
	if alg, ok := headers[1]; !ok || alg != want || len(headers) != 1 {
		return fmt.Errorf("%w: not the expected one alone", ErrAlgorithm)
	}
	if len(unprotected) != 1 || unprotected[0] != 0xa0 {
		return fmt.Errorf("%w: unprotected header is not empty", ErrFormat)
	}
	return nil
}

// byteString decodes an item that must be a CBOR byte string. The library would also accept an array of integers,
// which would be a second spelling of the same document.
func byteString(item cbor.RawMessage) ([]byte, error) {
	const majorType, byteStringType = 0xe0, 0x40
	if len(item) == 0 || item[0]&majorType != byteStringType {
		return nil, fmt.Errorf("%w: byte string expected", ErrFormat)
	}
	var b []byte
	if err := strict.Unmarshal(item, &b); err != nil {
		return nil, fmt.Errorf("%w: byte string expected", ErrFormat)
	}
	return b, nil
}

// verify checks the signature over the Sig_structure of RFC 9052 section 4.4, with no external data.
func (m *sign1) verify(leaf *x509.Certificate) error {
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: key type", ErrAlgorithm)
	}
	signed, err := cbor.Marshal([]any{"Signature1", m.protected, []byte{}, m.payload})
	if err != nil {
		return fmt.Errorf("%w: not encodable", ErrFormat)
	}
	digest := sha512.Sum384(signed)
	r := new(big.Int).SetBytes(m.signature[:signatureSize/2])
	s := new(big.Int).SetBytes(m.signature[signatureSize/2:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		return ErrSignature
	}
	return nil
}
