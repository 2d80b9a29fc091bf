package sealed

import (
	"crypto/aes"
	"crypto/cipher"
)

// newAEAD sets AES-256-GCM up. Measured here: 0.5 us, two heap blocks of 1,280 bytes together, against 0.08 us to open
// 11 bytes. What it makes is wiped afterwards, and not kept with the context. Otherwise 500,000 contexts would hold
// 640 MB of Go heap, and the key schedules, which are keys, would lie in memory that we cannot lock. A [Cipher] keeps
// it for the few fields that are read all the time, in memory that is locked.
func newAEAD(key []byte) (cipher.Block, cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return block, aead, err
}

// openAEAD opens ct. If that succeeds, keep, which may be nil, is filled.
func openAEAD(keep *Cipher, dst, key, nonce, ct, aad []byte) ([]byte, error) {
	if len(ct) < TagSize {
		return dst, ErrOpen
	}
	block, aead, err := newAEAD(key)
	if err != nil {
		return dst, ErrOpen
	}
	out, err := aead.Open(dst, nonce, ct, aad)
	if err == nil {
		keep.fill(aead, nonce)
	}
	wipeCipher(block, aead)
	if err != nil {
		return dst, ErrOpen
	}
	return out, nil
}

func sealAEAD(dst, key, nonce, plaintext, aad []byte) ([]byte, error) {
	block, aead, err := newAEAD(key)
	if err != nil {
		return dst, ErrSeal
	}
	out := aead.Seal(dst, nonce, plaintext, aad)
	wipeCipher(block, aead)
	return out, nil
}
