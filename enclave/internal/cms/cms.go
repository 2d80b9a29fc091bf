// Package cms opens, for the enclave's KMS client, the CMS envelopes in which AWS KMS answers an attested enclave
// ("CiphertextForRecipient").
//
// # What it guarantees
//
// [Open] takes EnvelopedData with exactly one recipient. That is a KeyTransRecipientInfo with a subject key
// identifier, whose content key is wrapped by RSAES-OAEP with SHA-256 and MGF1 with SHA-256. The content is in
// AES-256-CBC. No other algorithm, parameter or form is accepted. The encoding may be DER, or BER with indefinite
// lengths and strings cut into segments, as KMS writes it. The plaintext goes straight into secret memory, and the
// content key is wiped.
//
// # Against whom
//
// An attacker may submit envelopes of his own and watch the errors. So every failure returns the same error,
// [ErrOpen]. Once the message has parsed, an envelope whose key does not unwrap takes the same work, and has the same
// outcome, as one whose padding is wrong: a random key takes the place of one that failed, and the padding is checked
// without branches on secret data. So there is no oracle for Bleichenbacher's, Manger's or Vaudenay's attacks. An
// envelope does not prove who made it: TLS to KMS does.
//
// # Limits
//
// Messages have at most [MaxMessage] bytes, RSA keys 2048 bits or more. Some copies cannot be wiped, and are garbage
// once Open returns: the expanded AES key in crypto/aes, and the encoded message within crypto/rsa.
//
// # Source
//
// RFC 5652 section 6, RFC 4055 section 4.1, RFC 8017 section 7.1, RFC 3565; X.690 section 8. This package has a
// reader of its own, since no maintained Go library opens BER envelopes with key identifiers and OAEP.
package cms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"redoubt/wire/kit/secret"
)

const (
	// MaxMessage bounds an envelope, in bytes. KMS opens at most 4 KiB; envelope and base64 add 15 %.
	MaxMessage = 16 << 10

	maxKeyID    = 64
	blockSize   = aes.BlockSize
	contentKey  = 32 // AES-256
	minKeyBytes = 256
)

// ErrOpen reports that an envelope cannot be opened with this key. It never says why.
var ErrOpen = errors.New("cms: cannot open envelope")

// Open returns the content of an envelope made for key. It neither changes nor keeps the message. The caller owns the
// result, and MUST destroy it. The only errors are ErrOpen and those of allocating secret memory. Empty content is
// ErrOpen too.
func Open(key *rsa.PrivateKey, message []byte) (*secret.Buffer, error) {
	if key == nil || key.Size() < minKeyBytes {
		return nil, ErrOpen
	}
	e, ok := parse(message)
	if !ok || len(e.wrappedKey) != key.Size() {
		return nil, ErrOpen
	}
	plain, err := secret.New(len(e.ciphertext))
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	valid, err := e.decrypt(key, plain.Bytes())
	length, padding := unpad(plain.Bytes())
	if err != nil || valid&padding != 1 || length == 0 {
		plain.Destroy()
		return nil, ErrOpen
	}
	plain.Truncate(length) // the padding; memory of its own would take as long as all but RSA
	return plain, nil
}

// decrypt unwraps the content key and decrypts into dst. It returns 1 if the key unwrapped. Otherwise it returns 0,
// and dst is full of noise.
func (e *envelope) decrypt(key *rsa.PrivateKey, dst []byte) (valid int, err error) {
	var cek [contentKey]byte
	defer secret.Wipe(cek[:])
	if _, err := rand.Read(cek[:]); err != nil {
		return 0, ErrOpen
	}
	unwrapped, oaepErr := unwrap(key, e.wrappedKey)
	defer secret.Wipe(unwrapped)
	if oaepErr == nil && len(unwrapped) == contentKey {
		copy(cek[:], unwrapped)
		valid = 1
	}
	block, err := aes.NewCipher(cek[:])
	if err != nil {
		return 0, ErrOpen
	}
	cipher.NewCBCDecrypter(block, e.iv).CryptBlocks(dst, e.ciphertext)
	return valid, nil
}

// unwrap is RSAES-OAEP with SHA-256, for hash and MGF1, and no label.
func unwrap(key *rsa.PrivateKey, wrapped []byte) ([]byte, error) {
	return rsa.DecryptOAEP(sha256.New(), nil, key, wrapped, nil)
}

// unpad checks the padding of RFC 5652 section 6.3 in time that depends on nothing but the block size. It returns the
// content's length, and 1 if the padding is right, else 0.
func unpad(padded []byte) (length, valid int) {
	last := int(padded[len(padded)-1])
	valid = subtle.ConstantTimeLessOrEq(1, last) & subtle.ConstantTimeLessOrEq(last, blockSize)
	for i := 1; i <= blockSize; i++ {
		inPadding := subtle.ConstantTimeLessOrEq(i, last)
		right := subtle.ConstantTimeByteEq(padded[len(padded)-i], byte(last))
		valid &= subtle.ConstantTimeSelect(inPadding, right, 1)
	}
	return subtle.ConstantTimeSelect(valid, len(padded)-last, 0), valid
}
