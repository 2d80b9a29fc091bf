package domain

import (
	"crypto/sha512"
	"encoding/binary"
	"slices"

	"redoubt/wire/kit/sealed"
)

const (
	// MaxID is the longest domain id in bytes.
	MaxID = 63
	// MaxSuites bounds the suites of vaults of a descriptor.
	MaxSuites = 8
	// MaxRequests bounds the request keys of a descriptor.
	MaxRequests = 2
	// MaxDescriptor is the longest descriptor in bytes.
	MaxDescriptor = len(magic) + 2 + 2 + MaxID + 8 + 1 + MaxSuites + PublicSize + 1 + MaxRequests*(3+sealed.MaxPublicSize)
	// HashSize is the size of a [Hash].
	HashSize = sha512.Size384
	// PublicSize is the size of an Ed25519 key.
	PublicSize = 32
	// SignatureSize is the size of an Ed25519 signature.
	SignatureSize = 64

	magic = "RDD1"
)

// Hash is a SHA-384. That of a descriptor is the design's dh, which names the domain and its generation.
type Hash [HashSize]byte

// Sum returns the SHA-384 of b, which for a descriptor is dh.
func Sum(b []byte) Hash { return sha512.Sum384(b) }

// Descriptor is what everybody may know of one generation of a domain. It never changes; a change is the next
// generation.
type Descriptor struct {
	// Generation counts from 1.
	Generation uint16
	// ID matches [a-z0-9._-]{1,63}.
	ID string
	// CreatedMS is the time of creation in milliseconds since 1970, by the enclave that made it.
	CreatedMS uint64
	// Suites are those that vaults may have, 1 to [MaxSuites]. The first is the default; the others ascend, none twice.
	Suites []sealed.Suite
	// Statements is the Ed25519 key that verifies statements.
	Statements [PublicSize]byte
	// Requests are the keys to which callers seal requests, at most [MaxRequests], ascending by suite.
	Requests []RequestKey
}

// RequestKey is a public key of a descriptor, serialized as RFC 9180 says.
type RequestKey struct {
	Suite  sealed.Suite
	Public []byte
}

// ValidID reports whether id matches [a-z0-9._-]{1,63}.
func ValidID[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Allows reports whether vaults of the domain may have the suite.
func (d *Descriptor) Allows(s sealed.Suite) bool { return slices.Contains(d.Suites, s) }

// Default returns the suite of vaults for which nobody chose one.
func (d *Descriptor) Default() sealed.Suite { return d.Suites[0] }

// Append appends the encoded descriptor. Error: [ErrDescriptor]; dst is then unchanged.
func (d *Descriptor) Append(dst []byte) ([]byte, error) {
	if !d.valid() {
		return dst, ErrDescriptor
	}
	out := append(dst, magic...)
	out = binary.BigEndian.AppendUint16(out, d.Generation)
	out = appendL(out, d.ID)
	out = binary.BigEndian.AppendUint64(out, d.CreatedMS)
	out = append(out, byte(len(d.Suites)))
	for _, s := range d.Suites {
		out = append(out, byte(s))
	}
	out = append(out, d.Statements[:]...)
	out = append(out, byte(len(d.Requests)))
	for _, r := range d.Requests {
		out = appendL(append(out, byte(r.Suite)), r.Public)
	}
	return out, nil
}

func (d *Descriptor) valid() bool {
	if d.Generation == 0 || !ValidID(d.ID) || len(d.Requests) > MaxRequests || !StrongKey(d.Statements) {
		return false
	}
	var requests []sealed.Suite
	for _, r := range d.Requests {
		if _, err := sealed.NewPublicKey(r.Suite, r.Public); err != nil {
			return false
		}
		requests = append(requests, r.Suite)
	}
	return ValidSuites(d.Suites, requests)
}

// ValidSuites reports whether a descriptor may have these suites of vaults and of request keys: known ones, in a
// descriptor's order, no more than it holds.
func ValidSuites(vaults, requests []sealed.Suite) bool {
	if len(vaults) < 1 || len(vaults) > MaxSuites || len(requests) > MaxRequests {
		return false
	}
	for i, s := range vaults {
		if !s.Valid() || i > 0 && s == vaults[0] || i > 1 && s <= vaults[i-1] {
			return false
		}
	}
	for i, s := range requests {
		if !s.Valid() || i > 0 && s <= requests[i-1] {
			return false
		}
	}
	return true
}

// ParseDescriptor reads a descriptor, and nothing after it. The result does not borrow from b. Error: [ErrDescriptor],
// also for a suite that this release does not know, and for keys that are none.
func ParseDescriptor(b []byte) (*Descriptor, error) {
	if len(b) > MaxDescriptor {
		return nil, ErrDescriptor
	}
	r := reader{rest: b}
	d := &Descriptor{}
	if string(r.take(len(magic))) != magic {
		return nil, ErrDescriptor
	}
	d.Generation = r.u16()
	d.ID = string(r.l())
	d.CreatedMS = r.u64()
	for _, s := range r.take(int(r.u8())) {
		d.Suites = append(d.Suites, sealed.Suite(s))
	}
	copy(d.Statements[:], r.take(PublicSize))
	for range min(r.u8(), MaxRequests+1) {
		d.Requests = append(d.Requests, RequestKey{Suite: sealed.Suite(r.u8()), Public: slices.Clone(r.l())})
	}
	if !r.done() || !d.valid() {
		return nil, ErrDescriptor
	}
	return d, nil
}
