package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// Request names one wrapped private key. Its slices are borrowed for the length of the call it is passed to.
type Request struct {
	Suite      sealed.Suite
	KeyContext bool   // wrapped with EncryptionContext {"vault_id": VaultID}
	KeyARN     string // the pinned KMS key of the request's region
	VaultID    []byte
	Wrapped    []byte // KMS ciphertext blob
	// By is whose credentials KMS is asked with, should it have to be. It is no part of what a key is kept under: a key
	// that is cached serves everybody.
	By Credentials
}

// Credentials stand for those of a session, which may change or be none.
type Credentials interface {
	// Number tells those that it has now: equal numbers mean equal credentials, 0 means none. It does not block.
	Number() uint64
}

// number is that of the credentials of by. Nobody's are 0.
func number(by Credentials) uint64 {
	if by == nil {
		return 0
	}
	return by.Number()
}

// Unwrapper asks KMS. It MUST NOT keep the request's slices after it returns, and SHOULD return soon after ctx ends.
// Its errors carry a code (errors.As to *wire.Error); any other error counts as internal. One with a method
// OwnFault() bool that returns true is not remembered against the key. One with a method OfCredentials() bool that
// returns true may be no failure for other credentials than the request's, and is taken for one of theirs alone.
type Unwrapper interface {
	// Unwrap returns the DER of the private key (PKCS#8 or SEC 1) in secret memory, which then is the caller's.
	Unwrap(ctx context.Context, r Request) (*secret.Buffer, error)
}

func (r *Request) clone() Request {
	c := *r
	c.VaultID, c.Wrapped = bytes.Clone(r.VaultID), bytes.Clone(r.Wrapped)
	return c
}

// identity stands for everything a key depends on. Equal identities mean equal requests: a wrapped key asked for
// under another vault, suite, KMS key or mode is another key.
type identity [sha256.Size]byte

// identify hashes the request with the process's seed, so that nobody outside can choose which shard it lands in.
func (c *Cache) identify(r *Request) identity {
	var stack [1024]byte
	b := append(stack[:0], c.seed[:]...)
	b = append(b, byte(r.Suite), 0)
	if r.KeyContext {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.KeyARN)))
	b = append(b, r.KeyARN...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.VaultID)))
	b = append(b, r.VaultID...)
	b = append(b, r.Wrapped...)
	return sha256.Sum256(b)
}
