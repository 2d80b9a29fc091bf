package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"redoubt/wire/kit/jwt"
)

const (
	// maxName bounds a principal's name in bytes.
	maxName = 1024
	// maxGroups bounds the groups that are taken from a token.
	maxGroups   = 64
	oidcTimeout = 5 * time.Second
)

// OIDCConfig says which tokens are accepted.
type OIDCConfig struct {
	Issuer   string // the iss claim; its keys are found at ISSUER/.well-known/openid-configuration
	Audience string // must be among the aud claim
	JWKSURL  string // URL of the keys, instead of the one from discovery
	Groups   string // claim with a list of group names, "groups" by default
	Client   *http.Client
	Now      func() time.Time
}

// Tokens authenticates requests by OIDC ID or access tokens that are JWTs of one issuer.
type Tokens struct {
	verifier *oidc.IDTokenVerifier
	issuer   string
	groups   string
}

// algorithms are all asymmetric: if a verifier accepts HS256 too, it can be given the public key as a secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256,
	jose.ES384, jose.ES512, jose.EdDSA,
}

// NewTokens finds out where the issuer's keys are, unless JWKSURL says so. The keys are fetched when first needed.
func NewTokens(ctx context.Context, cfg OIDCConfig) (*Tokens, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("auth: oidc needs an issuer and an audience")
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: oidcTimeout}
	}
	if cfg.Groups == "" {
		cfg.Groups = "groups"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.JWKSURL == "" {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, cfg.Client), cfg.Issuer)
		if err != nil {
			return nil, fmt.Errorf("auth: oidc discovery: %w", err)
		}
		var found struct {
			JWKSURL string `json:"jwks_uri"`
		}
		if err := provider.Claims(&found); err != nil || found.JWKSURL == "" {
			return nil, errors.New("auth: oidc discovery: no jwks_uri")
		}
		cfg.JWKSURL = found.JWKSURL
	}
	keys := &issuerKeys{url: cfg.JWKSURL, client: cfg.Client, now: cfg.Now}
	want := &oidc.Config{ClientID: cfg.Audience, Now: cfg.Now}
	for _, a := range algorithms {
		want.SupportedSigningAlgs = append(want.SupportedSigningAlgs, string(a))
	}
	return &Tokens{
		issuer: cfg.Issuer, groups: cfg.Groups, verifier: oidc.NewVerifier(cfg.Issuer, keys, want),
	}, nil
}

// Authenticate verifies the bearer token of the Authorization header. The principal is "oidc:ISSUER|SUBJECT" with the
// token's groups. It returns [ErrUnavailable] if the issuer's keys cannot be fetched.
func (t *Tokens) Authenticate(r *http.Request) (Principal, bool, error) {
	raw, ok := bearer(r)
	if !ok || IsKey(raw) {
		return Principal{}, false, nil
	}
	if !jwt.WellFormed(raw) {
		return Principal{}, false, ErrUnauthenticated
	}
	var down bool
	token, err := t.verifier.Verify(context.WithValue(r.Context(), outageKey{}, &down), raw)
	if down {
		return Principal{}, false, fmt.Errorf("%w: %w", ErrUnavailable, errNoKeys)
	}
	if err != nil || token.Subject == "" {
		// The cause may quote the token's claims, so it is dropped.
		return Principal{}, false, ErrUnauthenticated
	}
	p := Principal{Name: "oidc:" + t.issuer + "|" + token.Subject}
	if len(p.Name) > maxName {
		return Principal{}, false, ErrUnauthenticated
	}
	var payload json.RawMessage
	if token.Claims(&payload) != nil || jwt.Strict(payload, t.groups) != nil {
		return Principal{}, false, ErrUnauthenticated
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return Principal{}, false, ErrUnauthenticated
	}
	p.Groups = groupsOf(claims[t.groups])
	return p, true, nil
}

// groupsOf reads a list of names, or one name.
func groupsOf(claim any) []string {
	list, ok := claim.([]any)
	if !ok {
		list = []any{claim}
	}
	var out []string
	for _, v := range list {
		if name, ok := v.(string); ok && name != "" && len(name) <= maxName && len(out) < maxGroups {
			out = append(out, "group:"+name)
		}
	}
	return out
}
