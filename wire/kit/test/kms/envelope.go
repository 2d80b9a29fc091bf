package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

// Object identifiers of the answer, as RFC 5652, RFC 8017 and NIST's register give them.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidRSAESOAEP     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidAES256CBC     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// envelopeChunk is the size of the octet strings that the encrypted content is cut into.
const envelopeChunk = 1024

type algorithm struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

type oaepParameters struct {
	Hash algorithm `asn1:"explicit,tag:0"`
	MGF  algorithm `asn1:"explicit,tag:1"`
}

type keyTransRecipient struct {
	Version      int
	KeyID        []byte `asn1:"tag:0"`
	Algorithm    algorithm
	EncryptedKey []byte
}

// EncryptToRecipient makes the CMS EnvelopedData with which KMS answers an attested call: one KeyTransRecipientInfo
// that names the key by subjectKeyIdentifier and wraps the content key by RSAES-OAEP with SHA-256 (also in MGF1),
// content in AES-256-CBC, and BER with indefinite lengths around it, the content cut into octet strings.
func EncryptToRecipient(pub *rsa.PublicKey, plaintext []byte) ([]byte, error) {
	secret := make([]byte, 32+aes.BlockSize)
	defer clear(secret)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("content key: %w", err)
	}
	contentKey, iv := secret[:32], secret[32:]
	content, err := encryptCBC(contentKey, iv, plaintext)
	if err != nil {
		return nil, err
	}
	recipients, err := marshalRecipients(pub, contentKey)
	if err != nil {
		return nil, err
	}
	contentAlg, err := asn1.Marshal(algorithm{oidAES256CBC, asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}})
	if err != nil {
		return nil, fmt.Errorf("content algorithm: %w", err)
	}
	var chunks []byte
	for len(content) > 0 {
		n := min(envelopeChunk, len(content))
		chunks = append(chunks, tlv(asn1.TagOctetString, content[:n])...)
		content = content[n:]
	}
	encryptedContent := indefinite(0x30, mustOID(oidData), contentAlg, indefinite(0xa0, chunks))
	enveloped := indefinite(0x30, []byte{asn1.TagInteger, 1, 2}, recipients, encryptedContent)
	return indefinite(0x30, mustOID(oidEnvelopedData), indefinite(0xa0, enveloped)), nil
}

func encryptCBC(key, iv, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("content key: %w", err)
	}
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	content := make([]byte, 0, len(plaintext)+pad)
	content = append(append(content, plaintext...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(content, content)
	return content, nil
}

func marshalRecipients(pub *rsa.PublicKey, contentKey []byte) ([]byte, error) {
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, contentKey, nil)
	if err != nil {
		return nil, fmt.Errorf("wrap content key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("recipient key: %w", err)
	}
	keyID := sha256.Sum256(spki)
	hash := algorithm{oidSHA256, asn1.NullRawValue}
	hashDER, err := asn1.Marshal(hash)
	if err != nil {
		return nil, fmt.Errorf("hash algorithm: %w", err)
	}
	parameters, err := asn1.Marshal(oaepParameters{hash, algorithm{oidMGF1, asn1.RawValue{FullBytes: hashDER}}})
	if err != nil {
		return nil, fmt.Errorf("OAEP parameters: %w", err)
	}
	recipient, err := asn1.Marshal(keyTransRecipient{
		Version: 2, KeyID: keyID[:], EncryptedKey: wrapped,
		Algorithm: algorithm{oidRSAESOAEP, asn1.RawValue{FullBytes: parameters}},
	})
	if err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	return tlv(0x31, recipient), nil
}

// tlv encodes with a definite length (X.690 section 8.1.3).
func tlv(tag byte, content []byte) []byte {
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default: // contents here are below 64 KiB
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}

// indefinite encodes with an indefinite length, ended by two zero bytes (X.690 section 8.1.3.6).
func indefinite(tag byte, parts ...[]byte) []byte {
	out := append([]byte{tag, 0x80}, bytes.Join(parts, nil)...)
	return append(out, 0, 0)
}

func mustOID(oid asn1.ObjectIdentifier) []byte {
	der, err := asn1.Marshal(oid)
	if err != nil {
		panic("kms: constant object identifier does not marshal")
	}
	return der
}
