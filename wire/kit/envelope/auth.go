package envelope

import (
	"crypto"
	"crypto/ed25519"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"redoubt/wire/kit/domain"
)

// AuthKind says how a block authenticates the caller.
type AuthKind uint8

// The kinds. The numbers never change; any other is [ErrAuth].
const (
	// AuthNone is nobody; the block is empty.
	AuthNone AuthKind = 0
	// AuthKey is an API key: L(id) || L(secret).
	AuthKey AuthKind = 1
	// AuthToken is an OIDC token: a JWS in compact form.
	AuthToken AuthKind = 2
	// AuthSignature is a caller's Ed25519 key: L(id) || not_after u64 (ms) || signature.
	AuthSignature AuthKind = 3
)

const (
	// MaxCaller bounds the id of an API key or a caller's key, in bytes.
	MaxCaller = 64
	// MinSecret is the least size of an API key's secret, in bytes. The secret MUST be made at random, of 128 bits or
	// more: the parent reads its hash.
	MinSecret = 16
	// MaxSecret is the other bound.
	MaxSecret = 256
	// MaxSignature is how far ahead a caller's signature may end.
	MaxSignature = 24 * time.Hour

	callerLabel = "redoubt/caller/v1\x00"
)

// Auth says who asks. The zero value is nobody. Block borrows where an Auth was parsed.
type Auth struct {
	Kind  AuthKind
	Block []byte
}

// ValidCaller reports whether id matches [A-Za-z0-9._-]{1,64}.
func ValidCaller[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > MaxCaller {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if low := c | 0x20; (low < 'a' || low > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// KeyAuth authenticates by an API key. The caller wipes the block, which holds the secret. Error: [ErrAuth].
func KeyAuth(id string, secret []byte) (Auth, error) {
	if !ValidCaller(id) || len(secret) < MinSecret || len(secret) > MaxSecret {
		return Auth{}, ErrAuth
	}
	block := make([]byte, 0, 4+len(id)+len(secret)) // no copy of the secret is left behind
	return Auth{Kind: AuthKey, Block: appendL(appendL(block, id), secret)}, nil
}

// Key takes a block of kind AuthKey apart; both borrow from it. Error: [ErrAuth].
func (a Auth) Key() (id, secret []byte, err error) {
	in := cryptobyte.String(a.Block)
	var i, s cryptobyte.String
	if a.Kind != AuthKey || !in.ReadUint16LengthPrefixed(&i) || !in.ReadUint16LengthPrefixed(&s) || !in.Empty() ||
		!ValidCaller([]byte(i)) || len(s) < MinSecret || len(s) > MaxSecret {
		return nil, nil, ErrAuth
	}
	return i, s, nil
}

// TokenAuth authenticates by a token. Error: [ErrAuth].
func TokenAuth(token string) (Auth, error) {
	if len(token) == 0 || len(token) > MaxAuth {
		return Auth{}, ErrAuth
	}
	return Auth{Kind: AuthToken, Block: []byte(token)}, nil
}

// SignatureAuth authenticates by a caller's key, for the requests of one encapsulation enc to the domain whose
// descriptor has the hash. It signs once; the block then serves each of these requests until notAfter. signer has an
// Ed25519 key, and may keep it elsewhere. Errors: [ErrAuth] for the id, [ErrSigner].
func SignatureAuth(
	signer crypto.Signer, id string, descriptor domain.Hash, enc []byte, notAfter time.Time,
) (Auth, error) {
	if !ValidCaller(id) || notAfter.UnixMilli() < 0 {
		return Auth{}, ErrAuth
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize {
		return Auth{}, ErrSigner
	}
	block := appendU64(appendL(nil, id), uint64(notAfter.UnixMilli()))
	message := callerMessage(descriptor, enc, block)
	signature, err := signer.Sign(nil, message, crypto.Hash(0))
	if err != nil || len(signature) != ed25519.SignatureSize || !ed25519.Verify(public, message, signature) {
		return Auth{}, ErrSigner
	}
	return Auth{Kind: AuthSignature, Block: append(block, signature...)}, nil
}

// Signature is a block of kind AuthSignature, taken apart.
type Signature struct {
	// ID names the caller's key; it borrows.
	ID []byte
	// NotAfter is the end of the signature, in milliseconds since 1970.
	NotAfter uint64

	signed    []byte
	signature []byte
}

// Signature takes a block of kind AuthSignature apart; the result borrows from it. Error: [ErrAuth].
func (a Auth) Signature() (s Signature, err error) {
	in := cryptobyte.String(a.Block)
	var id cryptobyte.String
	if a.Kind != AuthSignature || !in.ReadUint16LengthPrefixed(&id) || !in.ReadUint64(&s.NotAfter) ||
		!in.ReadBytes(&s.signature, ed25519.SignatureSize) || !in.Empty() || !ValidCaller([]byte(id)) {
		return Signature{}, ErrAuth
	}
	s.ID, s.signed = id, a.Block[:len(a.Block)-ed25519.SignatureSize]
	return s, nil
}

// Verify checks the signature for requests of the encapsulation enc to the domain whose descriptor has the hash. public
// MUST be a key that [domain.StrongKey] accepts. It is RFC 8032, section 5.1.7, without the cofactor. Error: [ErrAuth],
// also if the signature has ended, or ends more than [MaxSignature] from now.
func (s *Signature) Verify(
	public [ed25519.PublicKeySize]byte, descriptor domain.Hash, enc []byte, now time.Time,
) error {
	ms := uint64(max(0, now.UnixMilli()))
	if s.NotAfter <= ms || s.NotAfter-ms > uint64(MaxSignature.Milliseconds()) ||
		!ed25519.Verify(public[:], callerMessage(descriptor, enc, s.signed), s.signature) {
		return ErrAuth
	}
	return nil
}

func callerMessage(descriptor domain.Hash, enc, signed []byte) []byte {
	b := make([]byte, 0, len(callerLabel)+len(descriptor)+2+len(enc)+len(signed))
	return append(appendL(append(append(b, callerLabel...), descriptor[:]...), enc), signed...)
}
