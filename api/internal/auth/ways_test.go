package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an OIDC issuer on loopback.
type issuer struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	fetches atomic.Int32
	down    atomic.Pointer[http.HandlerFunc] // answers for the keys while it is set
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		if down := i.down.Load(); down != nil {
			(*down)(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	i.Server = httptest.NewServer(mux)
	i.Config.SetKeepAlivesEnabled(false) // or a connection that is cut off is tried again
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	return i.signAs(t, "k", alg, key, claims)
}

func (i *issuer) signAs(t *testing.T, kid string, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestTokensOfTheIssuerAndAudienceOnly(t *testing.T) {
	i := newIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	tokens, err := NewTokens(t.Context(), OIDCConfig{Issuer: i.URL, Audience: "vault", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{
		"iss": i.URL, "aud": "vault", "sub": "ann", "exp": now.Unix() + 60, "iat": now.Unix(), "groups": []string{"helpdesk", "ops"},
	}
	with := func(key string, value any) map[string]any {
		c := maps.Clone(good)
		c[key] = value
		if value == nil {
			delete(c, key)
		}
		return c
	}
	token := i.sign(t, jose.ES256, i.key, good)
	p, ok, err := tokens.Authenticate(request("Authorization", "Bearer "+token))
	if err != nil || !ok || p.Name != "oidc:"+i.URL+"|ann" || !slices.Equal(p.Groups, []string{"group:helpdesk", "group:ops"}) {
		t.Fatalf("principal %+v, %v, %v", p, ok, err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"expired":                  i.sign(t, jose.ES256, i.key, with("exp", now.Unix()-1)),
		"no expiry":                i.sign(t, jose.ES256, i.key, with("exp", nil)),
		"another audience":         i.sign(t, jose.ES256, i.key, with("aud", "other")),
		"another issuer":           i.sign(t, jose.ES256, i.key, with("iss", "https://evil.example")),
		"no subject":               i.sign(t, jose.ES256, i.key, with("sub", nil)),
		"subject too long":         i.sign(t, jose.ES256, i.key, with("sub", strings.Repeat("s", 2000))),
		"another key":              i.sign(t, jose.ES256, other, good),
		"public key as HMAC":       i.sign(t, jose.HS256, public, good),
		"unsigned":                 "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + ".",
		"flipped bit":              token[:len(token)-2] + another(token[len(token)-2]) + token[len(token)-1:],
		"not a token":              "x",
		"payload of another token": strings.Split(token, ".")[0] + ".e30." + strings.Split(token, ".")[2],
	}
	for name, raw := range bad {
		if _, ok, err := tokens.Authenticate(request("Authorization", "Bearer "+raw)); ok || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for _, r := range []*http.Request{request(), request("Authorization", "Basic "+token), request("Authorization", "Bearer rdk_x")} {
		if _, ok, err := tokens.Authenticate(r); ok || err != nil {
			t.Errorf("a request without a token: %v, %v", ok, err)
		}
	}
	twice := request("Authorization", "Bearer "+token, "Authorization", "Bearer "+token)
	if _, ok, _ := tokens.Authenticate(twice); ok {
		t.Error("two Authorization headers were accepted")
	}
}

func TestTokensNeedAnIssuerThatAnswers(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	if _, err := NewTokens(t.Context(), OIDCConfig{Issuer: dead.URL, Audience: "a"}); err == nil {
		t.Error("made without discovery")
	}
	if _, err := NewTokens(t.Context(), OIDCConfig{Issuer: dead.URL}); err == nil {
		t.Error("made without an audience")
	}
	late, err := NewTokens(t.Context(), OIDCConfig{Issuer: dead.URL, Audience: "a", JWKSURL: dead.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := late.Authenticate(request("Authorization", "Bearer a.b.c")); ok || err == nil {
		t.Error("authenticated without keys")
	}
}

func certificate(uri, dns string) *http.Request {
	r := request()
	cert := &x509.Certificate{}
	if uri != "" {
		u, _ := url.Parse(uri)
		cert.URIs = []*url.URL{u}
	}
	if dns != "" {
		cert.DNSNames = []string{dns}
	}
	cert.Subject.CommonName = "spiffe://example/admin"
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}, PeerCertificates: []*x509.Certificate{cert}}
	return r
}

func TestCertificatesByTheirAlternativeNames(t *testing.T) {
	c := ClientCertificates{Names: []string{"spiffe://example/*", "app.example"}}
	for _, good := range []struct{ uri, dns, name string }{
		{"spiffe://example/billing", "", "mtls:spiffe://example/billing"},
		{"", "App.example", "mtls:app.example"},
		{"spiffe://other/x", "app.example", "mtls:app.example"},
	} {
		p, ok, err := c.Authenticate(certificate(good.uri, good.dns))
		if err != nil || !ok || p.Name != good.name {
			t.Errorf("%+v: %+v, %v", good, p, err)
		}
	}
	for _, r := range []*http.Request{certificate("", ""), certificate("spiffe://other/x", "evil.example")} {
		if _, ok, err := c.Authenticate(r); ok || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("let in: %v, %v", ok, err)
		}
	}
	unverified := certificate("spiffe://example/billing", "")
	unverified.TLS.VerifiedChains = nil
	for _, r := range []*http.Request{request(), unverified} {
		if _, ok, err := c.Authenticate(r); ok || err != nil {
			t.Errorf("without a verified certificate: %v, %v", ok, err)
		}
	}
}

func TestCertificateDoesNotStandInForAWrongBearerToken(t *testing.T) {
	for _, header := range []string{"Bearer x", "Basic eDp5", ""} {
		r := certificate("spiffe://example/billing", "")
		r.Header.Set("Authorization", header)
		if _, ok, err := (ClientCertificates{}).Authenticate(r); ok || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v, %v", header, ok, err)
		}
	}
}

func TestGatewaysAuthorizers(t *testing.T) {
	cases := map[string]struct {
		authorizer map[string]any
		arn        string
		name       string
		groups     []string
	}{
		"none":                  {nil, "", "", nil},
		"empty":                 {map[string]any{}, "", "", nil},
		"lambda, REST":          {map[string]any{"principalId": "user|a1", "integrationLatency": 5.0}, "", "gateway:user|a1", nil},
		"lambda, HTTP":          {map[string]any{"lambda": map[string]any{"principalId": "u"}}, "", "gateway:u", nil},
		"lambda without one":    {map[string]any{"lambda": map[string]any{"key": "value"}}, "", "", nil},
		"IAM, REST":             {nil, "arn:aws:iam::1:role/app", "iam:arn:aws:iam::1:role/app", nil},
		"IAM, HTTP":             {map[string]any{"iam": map[string]any{"userArn": "arn:x"}}, "", "iam:arn:x", nil},
		"cognito":               {map[string]any{"claims": map[string]any{"sub": "s", "iss": "i", "cognito:groups": "a"}}, "", "oidc:i|s", []string{"group:a"}},
		"jwt":                   {map[string]any{"jwt": map[string]any{"claims": map[string]any{"sub": "s", "iss": "i", "groups": "[a]"}}}, "", "oidc:i|s", []string{"group:a"}},
		"wrong types":           {map[string]any{"jwt": "x", "claims": 7.0, "principalId": true}, "", "", nil},
		"name that is too long": {map[string]any{"principalId": strings.Repeat("x", 2000)}, "", "", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, ok := FromGateway(c.authorizer, c.arn)
			if ok != (c.name != "") || ok && (p.Name != c.name || !slices.Equal(p.Groups, c.groups)) {
				t.Fatalf("principal %+v, %v", p, ok)
			}
			r := request()
			if ok {
				r = r.WithContext(WithGateway(r.Context(), p))
			}
			if got, has, err := (Gateway{}).Authenticate(r); err != nil || has != ok || got.Name != c.name {
				t.Fatalf("from context: %+v, %v, %v", got, has, err)
			}
		})
	}
}

func TestGroupsThatTheGatewayFlattenedAreNotSplitInDoubt(t *testing.T) {
	const pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x"
	cases := []struct {
		jwt          bool
		issuer, name string
		claim        any
		groups       []string
	}{
		{true, "i", "groups", "[Vault admin]", nil}, // one group, or "Vault" and "admin"
		{true, "i", "groups", "[a b]", nil},
		{true, "i", "groups", "[admin]", []string{"group:admin"}},
		{true, "i", "groups", "Vault admin", []string{"group:Vault admin"}}, // a claim that is no list
		{true, "i", "groups", "a,b", []string{"group:a,b"}},
		{true, "i", "groups", `["a","b"]`, []string{`group:"a","b"`}},
		{true, "i", "groups", "[]", nil},
		{true, "i", "groups", "", nil},
		{true, pool, "cognito:groups", "[a b]", []string{"group:a", "group:b"}},
		{true, pool, "cognito:groups", "[a,b c]", []string{"group:a,b", "group:c"}},
		{true, pool, "groups", "[a b]", nil}, // an attribute, not Cognito's groups
		{true, "https://evil.example/https://cognito-idp.", "cognito:groups", "[a b]", nil},
		{false, pool, "cognito:groups", "a,b", nil}, // one group, or "a" and "b"
		{false, pool, "cognito:groups", "a", []string{"group:a"}},
		{false, pool, "cognito:groups", "[a]", []string{"group:[a]"}},
		{false, "i", "groups", "Vault admin", []string{"group:Vault admin"}},
		{false, "i", "groups", []any{"a b", "c,d"}, []string{"group:a b", "group:c,d"}},
	}
	for _, c := range cases {
		authorizer := map[string]any{"claims": map[string]any{"sub": "s", "iss": c.issuer, c.name: c.claim}}
		if c.jwt {
			authorizer = map[string]any{"jwt": authorizer}
		}
		if p, _ := FromGateway(authorizer, ""); !slices.Equal(p.Groups, c.groups) {
			t.Errorf("%s %v of %s: %q, want %q", c.name, c.claim, c.issuer, p.Groups, c.groups)
		}
	}
}

func TestBearerKeys(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := BearerKeys{Keys: keyFile(t, &now)}
	token, err := b.Keys.Create("a", Grant{Operations: []string{"*"}}, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok, err := b.Authenticate(request("Authorization", "bearer "+token)); err != nil || !ok || p.Name != "key:a" {
		t.Fatalf("%+v, %v, %v", p, ok, err)
	}
	if _, ok, err := b.Authenticate(request("Authorization", "Bearer "+token+"x")); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("%v, %v", ok, err)
	}
	if _, ok, err := b.Authenticate(request("Authorization", "Bearer eyJ")); ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
}

// another is a letter of base64 that c is not.
func another(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}
