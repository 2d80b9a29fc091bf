package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// A ciphertext blob is
//
//	magic (4) | key id (16) | nonce (12) | AES-256-GCM ciphertext and tag
//
// with magic, key id and the canonical encryption context as additional data, so that neither the key a blob names
// nor the context it was made for can be changed.
const (
	blobMagic    = "rdk\x01"
	blobKeyIDLen = 16
	blobNonceLen = 12
	blobTagLen   = 16
	blobHeader   = len(blobMagic) + blobKeyIDLen
	blobOverhead = blobHeader + blobNonceLen + blobTagLen
)

// Limits of the KMS API, in bytes.
const (
	MaxPlaintext  = 4096
	MaxCiphertext = 6144
)

func newAEAD(material []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, fmt.Errorf("symmetric key: %w", err)
	}
	return cipher.NewGCM(block)
}

// sealBlob encrypts plaintext under key for the encryption context. The caller owns the result.
func sealBlob(key *Key, plaintext []byte, context map[string]string) ([]byte, error) {
	out := make([]byte, 0, blobOverhead+len(plaintext))
	out = append(out, blobMagic...)
	out = append(out, key.raw[:]...)
	header := len(out)
	out = out[:header+blobNonceLen]
	if _, err := rand.Read(out[header:]); err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	return key.aead.Seal(out, out[header:], plaintext, blobAAD(out[:header], context)), nil
}

// blobKeyID returns the id of the key under which a blob claims to be made. It is not authenticated until the blob is
// opened.
func blobKeyID(blob []byte) (id [blobKeyIDLen]byte, ok bool) {
	if len(blob) < blobOverhead || !bytes.HasPrefix(blob, []byte(blobMagic)) {
		return id, false
	}
	copy(id[:], blob[len(blobMagic):])
	return id, true
}

// openBlob decrypts a blob that names key. The caller owns the plaintext and wipes it.
func openBlob(key *Key, blob []byte, context map[string]string) ([]byte, error) {
	id, ok := blobKeyID(blob)
	if !ok || id != key.raw {
		return nil, errInvalidCiphertext
	}
	nonce := blob[blobHeader : blobHeader+blobNonceLen]
	plaintext, err := key.aead.Open(nil, nonce, blob[blobHeader+blobNonceLen:], blobAAD(blob[:blobHeader], context))
	if err != nil {
		return nil, errInvalidCiphertext
	}
	return plaintext, nil
}

// blobAAD is injective: the header has one length, and each key and value is preceded by its own.
func blobAAD(header []byte, context map[string]string) []byte {
	aad := slices.Clone(header)
	aad = binary.BigEndian.AppendUint32(aad, uint32(len(context)))
	for _, name := range slices.Sorted(maps.Keys(context)) {
		for _, part := range [2]string{name, context[name]} {
			aad = binary.BigEndian.AppendUint32(aad, uint32(len(part)))
			aad = append(aad, part...)
		}
	}
	return aad
}
