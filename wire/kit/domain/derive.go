package domain

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// This file is HKDF (RFC 5869) with SHA-384, and AES-256-GCM under a key and nonce of 44 bytes that it gives, for one
// message.

const (
	keySize   = 32
	nonceSize = 12

	extractLabel = "redoubt/domain/v1"
	wrapLabel    = "redoubt/domain/wrap/v1"
	secretLabel  = "redoubt/domain/secret/v1" //nolint:gosec // a label
)

// extract takes the salt first, as RFC 5869 does. The caller wipes the result.
func extract(salt, ikm []byte) []byte {
	prk, err := hkdf.Extract(sha512.New384, ikm, salt)
	if err != nil { // only in FIPS-only mode, for short keys
		panic("domain: HKDF-Extract: " + err.Error())
	}
	return prk
}

// expand fills dst. info is no secret.
func expand(dst, prk []byte, info string) {
	out, err := hkdf.Expand(sha512.New384, prk, info, len(dst))
	if err != nil {
		panic("domain: HKDF-Expand: " + err.Error())
	}
	copy(dst, out)
	secret.Wipe(out)
}

// label is lab(w) of the design.
func label(what, id string, generation uint16) string {
	b := append([]byte("redoubt/domain/"), what...)
	b = appendL(append(b, "/v1"...), id)
	return string(binary.BigEndian.AppendUint16(b, generation))
}

// oneMessage is AES-256-GCM under Expand(prk, info, 44).
type oneMessage struct {
	block cipher.Block
	aead  cipher.AEAD
	nonce [nonceSize]byte
}

func newOneMessage(prk []byte, info string) oneMessage {
	var kn [keySize + nonceSize]byte
	defer secret.Wipe(kn[:])
	expand(kn[:], prk, info)
	block, err := aes.NewCipher(kn[:keySize])
	if err != nil {
		panic("domain: AES: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("domain: GCM: " + err.Error())
	}
	return oneMessage{block: block, aead: aead, nonce: [nonceSize]byte(kn[keySize:])}
}

// seal appends the ciphertext to dst. The message's key is then gone.
func (m *oneMessage) seal(dst, plaintext, aad []byte) []byte {
	defer sealed.Scrub(m.block, m.aead)
	return m.aead.Seal(dst, m.nonce[:], plaintext, aad)
}

// open appends the plaintext to dst, and reports whether ciphertext and aad are genuine. The message's key is then
// gone.
func (m *oneMessage) open(dst, ciphertext, aad []byte) ([]byte, bool) {
	defer sealed.Scrub(m.block, m.aead)
	out, err := m.aead.Open(dst, m.nonce[:], ciphertext, aad)
	return out, err == nil
}
