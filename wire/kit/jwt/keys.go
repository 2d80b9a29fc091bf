package jwt

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"redoubt/wire/kit/program"
)

// Errors.
var (
	// ErrSet reports text that is no set of keys (RFC 7517, section 5).
	ErrSet = errors.New("not a set of keys")
	// ErrSignature reports a token that no key of the set signed.
	ErrSignature = errors.New("no key of the issuer made the signature")
)

const (
	minRSA = 2048 // bits, RFC 7518, section 3.3
	maxRSA = 8192 // bits; beyond, a verification costs too much
)

// Set is the keys of an issuer. It does not change; several goroutines may use it.
type Set struct{ keys []jose.JSONWebKey }

// ParseSet reads a set of keys. Keys of unknown kinds, weak ones, and those that are not meant for signatures are left
// out. Error: [ErrSet].
func ParseSet(data []byte) (*Set, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(data, &set) != nil || set.Keys == nil {
		return nil, ErrSet
	}
	s := &Set{keys: make([]jose.JSONWebKey, 0, len(set.Keys))}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && key.Valid() && key.IsPublic() && verifies(raw, key.Use) && strong(key.Key) {
			s.keys = append(s.keys, key)
		}
	}
	return s, nil
}

// Len is the number of keys that may verify something.
func (s *Set) Len() int { return len(s.keys) }

// verifies reports whether the issuer means a key for signatures (RFC 7517, sections 4.2 and 4.3). Package jose reads
// use but ignores it, and does not read key_ops.
func verifies(raw json.RawMessage, use string) bool {
	var key struct {
		Operations *[]string `json:"key_ops"`
	}
	return json.Unmarshal(raw, &key) == nil && (use == "" || use == "sig") &&
		(key.Operations == nil || slices.Contains(*key.Operations, "verify"))
}

// strong is about RSA alone: package jose refuses weak keys of the other kinds.
func strong(key any) bool {
	k, ok := key.(*rsa.PublicKey)
	return !ok || program.Within(k.N.BitLen(), minRSA, maxRSA)
}

// Verify returns the payload of a token that a key of the set signed by one of the algorithms, which MUST all be
// asymmetric. It judges no claim. Error: [ErrSignature].
func (s *Set) Verify(token string, algorithms []jose.SignatureAlgorithm) ([]byte, error) {
	if s == nil || !WellFormed(token) {
		return nil, ErrSignature
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, ErrSignature
	}
	head := &jws.Signatures[0].Header
	for i := range s.keys {
		key := &s.keys[i]
		if (head.KeyID == "" || key.KeyID == head.KeyID) && (key.Algorithm == "" || key.Algorithm == head.Algorithm) {
			if payload, err := jws.Verify(key); err == nil {
				return payload, nil
			}
		}
	}
	return nil, ErrSignature
}
