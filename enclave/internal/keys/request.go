package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// Request names one wrapped private key. Its slices are borrowed for the length of the call to which it is passed.
type Request struct {
	Suite      sealed.Suite
	KeyContext bool   // wrapped with EncryptionContext {"vault_id": VaultID}
	KeyARN     string // the pinned KMS key of the request's region
	VaultID    []byte
	Wrapped    []byte // KMS ciphertext blob
	// Domain is the domain of a vault whose key the enclave made; nil for a key of KMS's. KeyContext and KeyARN have no
	// meaning then.
	Domain *DomainName
	// Reseal lets a closed generation of the domain be used.
	Reseal bool
	// By has the credentials with which KMS is asked, if it is asked. The cache's index does not include By: a key
	// that is cached serves every session.
	By Credentials
}

// Credentials stand for the credentials of a session, which may change, or be absent.
type Credentials interface {
	// Number identifies the current credentials: equal numbers mean equal credentials, 0 means none. It does not
	// block.
	Number() uint64
}

// number is the number of by's credentials, and 0 if by is nil.
func number(by Credentials) uint64 {
	if by == nil {
		return 0
	}
	return by.Number()
}

// Unwrapper asks KMS. It MUST NOT keep the request's slices after it returns, and SHOULD return soon after ctx ends.
// Its errors carry a code (errors.As to *wire.Error); any other error counts as internal. An error with a method
// OwnFault() bool that returns true is not remembered against the key. An error with a method OfCredentials() bool
// that returns true may not occur with other credentials than the request's, and counts for the request's credentials
// alone.
type Unwrapper interface {
	// Unwrap returns the DER of the private key (PKCS#8 or SEC 1) in secret memory, which the caller then owns.
	Unwrap(ctx context.Context, r Request) (*secret.Buffer, error)
}

func (r *Request) clone() Request {
	c := *r
	c.VaultID, c.Wrapped = bytes.Clone(r.VaultID), bytes.Clone(r.Wrapped)
	return c
}

// identity covers everything on which a key depends. Equal identities mean equal requests. The same wrapped key under
// another vault, suite, KMS key or mode is another key.
type identity [sha256.Size]byte

// identify hashes the request with the process's seed, so that nobody outside can choose the shard.
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
