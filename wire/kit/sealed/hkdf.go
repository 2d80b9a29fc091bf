package sealed

import (
	"crypto/sha256"
	"crypto/sha512"

	"redoubt/wire/kit/secret"
)

// This file is HKDF (RFC 5869) and HMAC (RFC 2104) over the standard library's hash functions, in buffers on the stack
// that are wiped. crypto/hkdf and crypto/hmac compute the same, and tests compare. But they make some ten heap blocks
// for each call, and leave there what is as good as the secret. Under [secret.Do] each of these blocks takes as long to
// note and to erase that a P-384 derivation took half as long again.

const maxBlock = sha512.BlockSize

// hmac writes HMAC(key, message) to dst, nh bytes. The message begins at padded[block], after room for a block, which
// is overwritten. It returns false if the key is longer than a block.
func (p *params) hmac(dst, key, padded []byte) bool {
	if len(key) > p.block {
		return false
	}
	const ipad, opad = 0x36, 0x5c
	var outer [maxBlock + maxHashSize]byte
	pad(padded[:p.block], key, ipad)
	pad(outer[:p.block], key, opad)
	p.sum(outer[p.block:], padded)
	p.sum(dst, outer[:p.block+p.nh])
	secret.Wipe(outer[:])
	return true
}

func pad(dst, key []byte, with byte) {
	n := copy(dst, key)
	clear(dst[n:])
	for i := range dst {
		dst[i] ^= with
	}
}

// sum writes the suite's hash of b to dst.
func (p *params) sum(dst, b []byte) {
	switch p.nh {
	case sha256.Size:
		h := sha256.Sum256(b)
		copy(dst, h[:])
		secret.Wipe(h[:])
	case sha512.Size384:
		h := sha512.Sum384(b)
		copy(dst, h[:])
		secret.Wipe(h[:])
	case sha512.Size:
		h := sha512.Sum512(b)
		copy(dst, h[:])
		secret.Wipe(h[:])
	}
}

// hkdfExpand fills dst, up to 255 hashes, with HKDF-Expand of section 2.3. info has at most maxLabeled bytes.
func (p *params) hkdfExpand(dst, prk, info []byte) bool {
	var buf [maxBlock + maxHashSize + maxLabeled + 1]byte
	var t [maxHashSize]byte
	defer secret.Wipe(t[:])
	last, ok := t[:0], len(info) <= maxLabeled && len(dst) <= 255*p.nh
	for i := byte(1); ok && len(dst) > 0; i++ {
		message := append(append(append(buf[:p.block], last...), info...), i)
		ok = p.hmac(t[:p.nh], prk, message)
		last = t[:p.nh]
		dst = dst[copy(dst, last):]
	}
	secret.Wipe(buf[:])
	return ok
}
