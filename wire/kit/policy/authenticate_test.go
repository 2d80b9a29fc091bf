package policy

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/envelope"
)

// The secret of the sample's API key, and the private half of its Ed25519 keys: RFC 8032, section 7.1, test 1.
const sampleSecret = "sixteen bytes at least"

func sampleKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

var here = Envelope{Descriptor: domain.Hash{1}, DomainID: "acme.pii", Enc: []byte("enc")}

func signedToken(t testing.TB, alg jose.SignatureAlgorithm, key any, kid, payload string) envelope.Auth {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	a, err := envelope.TokenAuth(raw)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func claims(issuer, subject, audience string, exp time.Time) string {
	return fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"exp":%d}`, issuer, subject, audience, exp.Unix())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCallersAreWhoThePolicyKnows(t *testing.T) {
	p, key, now := sample(t), sampleKey(t), testTime
	hour := now.Add(time.Hour)
	apiKey := must(envelope.KeyAuth("billing", []byte(sampleSecret)))
	signed := must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, hour))
	good := signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", hour))
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, moved, other2 := here, here, here
	elsewhere.DomainID, moved.Descriptor, other2.Enc = "acmf.pii", domain.Hash{2}, []byte("enx")
	for what, c := range map[string]struct {
		a    envelope.Auth
		in   Envelope
		name string // empty: refused
	}{
		"nobody":                       {envelope.Auth{}, here, "nobody"},
		"nobody with a block":          {envelope.Auth{Block: []byte("x")}, here, ""},
		"an unknown kind":              {envelope.Auth{Kind: 4}, here, ""},
		"an API key":                   {apiKey, here, "key:billing"},
		"an API key of another domain": {apiKey, elsewhere, ""},
		"another id":                   {must(envelope.KeyAuth("billing2", []byte(sampleSecret))), here, ""},
		"another secret":               {must(envelope.KeyAuth("billing", []byte(sampleSecret+"."))), here, ""},
		"the id of a caller's key":     {must(envelope.KeyAuth("batch-1", []byte(sampleSecret))), here, ""},
		"a malformed block":            {envelope.Auth{Kind: envelope.AuthKey, Block: []byte("x")}, here, ""},
		"a caller's key":               {signed, here, "sig:batch-1"},
		"for another descriptor":       {signed, moved, ""},
		"for another encapsulation":    {signed, other2, ""},
		"by another key":               {must(envelope.SignatureAuth(other, "batch-1", here.Descriptor, here.Enc, hour)), here, ""},
		"with the id of an API key":    {must(envelope.SignatureAuth(key, "billing", here.Descriptor, here.Enc, hour)), here, ""},
		"a signature that ended":       {must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, now)), here, ""},
		"a malformed signature":        {envelope.Auth{Kind: envelope.AuthSignature, Block: []byte("x")}, here, ""},
		"a token":                      {good, here, "oidc:https://id.example|ann"},
		"a token of another issuer":    {signedToken(t, jose.EdDSA, key, "k", claims("https://id.evil", "ann", "redoubt", hour)), here, ""},
		"a token for another audience": {signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "ann", "other", hour)), here, ""},
		"a token that ended":           {signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", now)), here, ""},
		"a token by another key":       {signedToken(t, jose.EdDSA, other, "k", claims("https://id.example", "ann", "redoubt", hour)), here, ""},
		"a token of an unknown key id": {signedToken(t, jose.EdDSA, key, "l", claims("https://id.example", "ann", "redoubt", hour)), here, ""},
		"a token without subject":      {signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "", "redoubt", hour)), here, ""},
		"a long subject":               {signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", strings.Repeat("a", MaxName), "redoubt", hour)), here, ""},
		"a token not yet valid": {signedToken(t, jose.EdDSA, key, "k", fmt.Sprintf(
			`{"iss":"https://id.example","sub":"ann","aud":"redoubt","exp":%d,"nbf":%d}`, hour.Unix(), now.Add(6*time.Minute).Unix())), here, ""},
		"a token of a clock ahead": {signedToken(t, jose.EdDSA, key, "k", fmt.Sprintf(
			`{"iss":"https://id.example","sub":"ann","aud":["x","redoubt"],"exp":%d,"nbf":%d}`, hour.Unix(), now.Add(4*time.Minute).Unix())), here, "oidc:https://id.example|ann"},
		"two subjects": {signedToken(t, jose.EdDSA, key, "k", fmt.Sprintf(
			`{"iss":"https://id.example","sub":"ann","sub":"root","aud":"redoubt","exp":%d}`, hour.Unix())), here, ""},
		"text": {must(envelope.TokenAuth("a.b.c")), here, ""},
	} {
		v, err := p.Authenticate(c.a, &c.in, now)
		switch {
		case c.name == "" && (!errors.Is(err, ErrUnauthenticated) || v.Principal != nil || v.Serves(p, c.a, now)):
			t.Errorf("%s: %v", what, err)
		case c.name == "nobody" && (err != nil || v.Principal != nil || !v.Serves(p, c.a, now)):
			t.Errorf("%s: %v", what, err)
		case c.name != "" && c.name != "nobody" && (err != nil || v.Principal.Name != c.name || !v.Serves(p, c.a, now)):
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Each byte of each block counts.
func TestAChangedBlockIsNobodys(t *testing.T) {
	p, key, now := sample(t), sampleKey(t), testTime
	for what, a := range map[string]envelope.Auth{
		"API key":   must(envelope.KeyAuth("billing", []byte(sampleSecret))),
		"signature": must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, now.Add(time.Hour))),
		"token":     signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", now.Add(time.Hour))),
	} {
		v, err := p.Authenticate(a, &here, now)
		if err != nil {
			t.Fatal(what, err)
		}
		for i := range a.Block {
			a.Block[i] ^= 1
			if _, err := p.Authenticate(a, &here, now); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("%s: byte %d: %v", what, i, err)
			}
			if v.Serves(p, a, now) {
				t.Errorf("%s: the verdict serves byte %d changed", what, i)
			}
			a.Block[i] ^= 1
		}
		if !v.Serves(p, a, now) {
			t.Error(what)
		}
		none := envelope.Auth{}
		if v.Serves(p, none, now) {
			t.Errorf("%s: the verdict serves a message of nobody", what)
		}
	}
}

func TestAVerdictEndsWithItsTokenAndWithThePolicy(t *testing.T) {
	p, later, key, now := sample(t), sample(t), sampleKey(t), testTime
	until := now.Add(time.Hour)
	for what, a := range map[string]envelope.Auth{
		"signature": must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, until)),
		"token":     signedToken(t, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", until)),
		"API key":   must(envelope.KeyAuth("billing", []byte(sampleSecret))),
	} {
		v, err := p.Authenticate(a, &here, now)
		if err != nil {
			t.Fatal(err)
		}
		end, ends := v.Until()
		if ends == (what == "API key") || ends && !end.Equal(until) {
			t.Errorf("%s ends at %v, %v", what, end, ends)
		}
		if !v.Serves(p, a, until.Add(-time.Millisecond)) || v.Serves(p, a, until) == ends {
			t.Errorf("%s: at its end", what)
		}
		if v.Serves(later, a, now) {
			t.Errorf("%s: under another policy", what)
		}
		if n := testing.AllocsPerRun(100, func() { v.Serves(p, a, now) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// RS256, ES256 and EdDSA verify, and no other.
func TestTokensOfThreeAlgorithmsAreTaken(t *testing.T) {
	r := must(rsa.GenerateKey(rand.Reader, 2048))
	e := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	e384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	keys := map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: r, jose.PS256: r, jose.RS512: r, jose.ES256: e, jose.ES384: e384, jose.EdDSA: sampleKey(t)}
	var set jose.JSONWebKeySet
	for alg, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: string(alg)})
	}
	text := string(must(json.Marshal(set)))
	p := parsed(t, smallest+"callers: {oidc: [{issuer: i, audience: a, domains: ['acme.*'], jwks: "+text+"}]}\n")
	for alg, key := range keys {
		a := signedToken(t, alg, any(key), string(alg), claims("i", "ann", "a", testTime.Add(time.Hour)))
		want := alg == jose.RS256 || alg == jose.ES256 || alg == jose.EdDSA
		if _, err := p.Authenticate(a, &here, testTime); want != (err == nil) {
			t.Errorf("%s: %v", alg, err)
		}
		elsewhere := here
		elsewhere.DomainID = "x"
		if _, err := p.Authenticate(a, &elsewhere, testTime); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: in an envelope of another domain: %v", alg, err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	p, key := sample(b), sampleKey(b)
	for what, a := range map[string]envelope.Auth{
		"API key":   must(envelope.KeyAuth("billing", []byte(sampleSecret))),
		"signature": must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, testTime.Add(time.Hour))),
		"token":     signedToken(b, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", testTime.Add(time.Hour))),
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Authenticate(a, &here, testTime); err != nil {
					b.Fatal(err)
				}
			}
		})
		v := must(p.Authenticate(a, &here, testTime))
		b.Run(what+", again", func(b *testing.B) {
			for b.Loop() {
				if !v.Serves(p, a, testTime) {
					b.Fatal("no longer")
				}
			}
		})
	}
}

func FuzzAuthenticate(f *testing.F) {
	p, key := sample(f), sampleKey(f)
	blocks := [][]byte{
		nil, must(envelope.KeyAuth("billing", []byte(sampleSecret))).Block,
		signedToken(f, jose.EdDSA, key, "k", claims("https://id.example", "ann", "redoubt", testTime.Add(time.Hour))).Block,
		must(envelope.SignatureAuth(key, "batch-1", here.Descriptor, here.Enc, testTime.Add(time.Hour))).Block,
	}
	for kind, b := range blocks {
		f.Add(uint8(kind), b)
	}
	f.Fuzz(func(t *testing.T, kind uint8, block []byte) {
		_, err := p.Authenticate(envelope.Auth{Kind: envelope.AuthKind(kind), Block: block}, &here, testTime)
		if err == nil && !bytes.Equal(block, blocks[kind]) {
			t.Fatal("another block is a caller's")
		}
	})
}
