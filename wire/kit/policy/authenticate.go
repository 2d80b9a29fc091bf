package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/envelope"
	"redoubt/wire/kit/jwt"
)

// ErrUnauthenticated reports a block of authentication of a caller whom the policy does not know, or knows otherwise.
var ErrUnauthenticated = errors.New("policy: caller is not authenticated")

// algorithms are those of tokens: asymmetric, and the ones that issuers use.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// notBeforeSlack is how far ahead of us an issuer's clock may be.
const notBeforeSlack = 5 * time.Minute

// Envelope is where a block of authentication came: a request's.
type Envelope struct {
	// Descriptor is the hash of the domain's descriptor, DomainID its id, Enc the encapsulated key.
	Descriptor domain.Hash
	DomainID   string
	Enc        []byte
}

// Verdict is who a block of authentication is. It may be kept with the envelope's context, in the Go heap: of the block
// it has a hash. The zero value serves no block.
type Verdict struct {
	// Principal is nil for nobody.
	Principal *Principal

	policy *Policy
	until  int64 // ms since 1970; 0 for ever
	kind   envelope.AuthKind
	block  [sha256.Size]byte
}

// Serves reports whether the verdict is still good for a block, under the policy that now counts. It allocates nothing.
func (v *Verdict) Serves(p *Policy, a envelope.Auth, now time.Time) bool {
	if v.policy == nil || v.policy != p || a.Kind != v.kind || v.until != 0 && now.UnixMilli() >= v.until {
		return false
	}
	sum := sha256.Sum256(a.Block)
	return subtle.ConstantTimeCompare(sum[:], v.block[:]) == 1
}

// Until returns when the verdict ends, and false if it does not end by itself.
func (v *Verdict) Until() (time.Time, bool) { return time.UnixMilli(v.until), v.until != 0 }

// Authenticate judges a block of authentication. A verdict ends with its token or signature, with the policy's version,
// and with the context in which the block came. The caller checks [Policy.Valid] first. Error: [ErrUnauthenticated],
// which says nothing of the reason.
func (p *Policy) Authenticate(a envelope.Auth, in *Envelope, now time.Time) (Verdict, error) {
	v := Verdict{policy: p, kind: a.Kind, block: sha256.Sum256(a.Block)}
	ok := false
	switch a.Kind {
	case envelope.AuthNone:
		ok = len(a.Block) == 0
	case envelope.AuthKey:
		v.Principal, ok = p.byKey(a, in)
	case envelope.AuthToken:
		v.Principal, v.until, ok = p.byToken(string(a.Block), in, now)
	case envelope.AuthSignature:
		v.Principal, v.until, ok = p.bySignature(a, in, now)
	}
	if !ok {
		return Verdict{}, ErrUnauthenticated
	}
	return v, nil
}

var unknownKey = apiKey{APIKey: &APIKey{}}

// byKey compares with zeros for an id that there is none of, so that it takes as long as one that there is.
func (p *Policy) byKey(a envelope.Auth, in *Envelope) (*Principal, bool) {
	id, secret, err := a.Key()
	if err != nil {
		return nil, false
	}
	k, known := p.keys[string(id)]
	if !known {
		k = &unknownKey
	}
	sum := sha256.Sum256(secret)
	same := subtle.ConstantTimeCompare(sum[:], k.Hash[:]) == 1
	return k.principal, same && known && anyMatches(k.Domains, in.DomainID)
}

func (p *Policy) bySignature(a envelope.Auth, in *Envelope, now time.Time) (*Principal, int64, bool) {
	s, err := a.Signature()
	if err != nil {
		return nil, 0, false
	}
	k, ok := p.callers[string(s.ID)]
	if !ok || s.Verify(k.Public, in.Descriptor, in.Enc, now) != nil {
		return nil, 0, false
	}
	return k.principal, int64(s.NotAfter), true
}

func (p *Policy) byToken(token string, in *Envelope, now time.Time) (*Principal, int64, bool) {
	claimed, err := jwt.Unverified(token)
	if err != nil {
		return nil, 0, false
	}
	i, ok := p.issuers[claimed.Issuer]
	if !ok || len(i.Domains) > 0 && !anyMatches(i.Domains, in.DomainID) {
		return nil, 0, false
	}
	payload, err := i.Keys.Verify(token, algorithms)
	if err != nil {
		return nil, 0, false
	}
	c, err := jwt.Read(payload)
	name := "oidc:" + c.Issuer + "|" + c.Subject
	ms := now.UnixMilli()
	if err != nil || c.Issuer != i.Issuer || !slices.Contains(c.Audience, i.Audience) || len(name) > MaxName ||
		c.Expires <= ms || c.NotBefore > ms+notBeforeSlack.Milliseconds() {
		return nil, 0, false
	}
	return p.Principal(name), c.Expires, true
}
