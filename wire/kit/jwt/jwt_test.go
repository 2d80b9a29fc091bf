package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// issuer has a key of each algorithm, whose ids are the algorithms' names.
type issuer struct {
	keys map[jose.SignatureAlgorithm]crypto.Signer
	set  []byte
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{keys: map[jose.SignatureAlgorithm]crypto.Signer{}}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	i.keys[jose.RS256], i.keys[jose.ES256], i.keys[jose.EdDSA] = r, e, d
	var set jose.JSONWebKeySet
	for alg, key := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: string(alg), Algorithm: string(alg), Use: "sig"})
	}
	if i.set, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *issuer) sign(t testing.TB, alg jose.SignatureAlgorithm, payload string) string {
	t.Helper()
	key := any(i.keys[alg])
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", string(alg)))
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
	return raw
}

func TestTokensOfEachAlgorithmVerifyAndNoChangedByteDoes(t *testing.T) {
	i := newIssuer(t)
	set, err := ParseSet(i.set)
	if err != nil || set.Len() != 3 {
		t.Fatal(err)
	}
	for _, alg := range algorithms {
		raw := i.sign(t, alg, `{"sub":"ann"}`)
		payload, err := set.Verify(raw, algorithms)
		if err != nil || string(payload) != `{"sub":"ann"}` {
			t.Errorf("%s: %v", alg, err)
		}
		for at := range raw {
			b := []byte(raw)
			b[at] ^= 1
			if _, err := set.Verify(string(b), algorithms); !errors.Is(err, ErrSignature) {
				t.Fatalf("%s: byte %d does not count", alg, at)
			}
		}
		for _, other := range algorithms {
			if other != alg {
				if _, err := set.Verify(raw, []jose.SignatureAlgorithm{other}); !errors.Is(err, ErrSignature) {
					t.Errorf("%s is taken for %s", alg, other)
				}
			}
		}
	}
	var none *Set
	if _, err := none.Verify(i.sign(t, jose.ES256, `{}`), algorithms); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

// A public key is no secret: a token that is "signed" with it by HMAC, or by nothing, is refused.
func TestTokensWithoutAnAsymmetricSignatureAreRefused(t *testing.T) {
	i := newIssuer(t)
	set, err := ParseSet(i.set)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: i.set}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	mac, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{
		mac, enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(`{}`)) + ".", enc([]byte(`{"alg":"NONE"}`)) + "." + enc([]byte(`{}`)) + ".AA",
		"", "..", "a.b", "a.b.c.d",
	} {
		if _, err := set.Verify(raw, algorithms); !errors.Is(err, ErrSignature) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestATokenHasOneSpellingAndItsHeaderOneReading(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	token := func(header string) string {
		return enc([]byte(header)) + "." + enc([]byte(`{}`)) + "." + enc([]byte("s"))
	}
	for header, good := range map[string]bool{
		`{"alg":"ES256","kid":"a"}`: true, `{"alg":"ES256","x":{"y":1}}`: true,
		`{"alg":"ES256","alg":"none"}`: false, `{"alg":"ES256","Alg":"none"}`: false, `{"alg":"ES256","KID":"b"}`: false,
		`{"alg":"ES256","x":{"y":1,"y":2}}`: false, `[]`: false, `{"alg":"ES256"} {}`: false, ``: false, "{\"alg\":\"\xff\"}": false,
		`{"x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`: false,
	} {
		if WellFormed(token(header)) != good {
			t.Errorf("%s: %v", header, !good)
		}
	}
	good := token(`{"alg":"ES256"}`)
	for _, bad := range []string{good + "=", good[:5] + "\n" + good[5:], good[:len(good)-1] + "x", "." + good} { // cw, of which x leaves a bit
		if WellFormed(bad) {
			t.Errorf("%q is well-formed", bad)
		}
	}
}

func TestClaimsHaveOneReading(t *testing.T) {
	const base = `"iss":"i","aud":"a"`
	for payload, good := range map[string]bool{
		`{` + base + `,"sub":"ann","exp":1800000060}`:                            true,
		`{` + base + `,"sub":"ann","exp":1.80000006e9,"nbf":5,"x":{"y":1}}`:      true,
		`{"iss":"i","aud":["a","b"],"sub":"ann","exp":1}`:                        true,
		`{` + base + `,"sub":"ann"}`:                                             false,
		`{` + base + `,"exp":1}`:                                                 false,
		`{"aud":"a","sub":"ann","exp":1}`:                                        false,
		`{"iss":"i","sub":"ann","exp":1}`:                                        false,
		`{"iss":"i","aud":{"a":1},"sub":"ann","exp":1}`:                          false,
		`{"iss":"i","aud":["a",1],"sub":"ann","exp":1}`:                          false,
		`{"iss":1,"aud":"a","sub":"ann","exp":1}`:                                false,
		`{` + base + `,"sub":"","exp":1}`:                                        false,
		`{` + base + `,"sub":"ann","SUB":"root","exp":1}`:                        false,
		`{` + base + `,"ſub":"root","sub":"ann","exp":1}`:                        false,
		`{` + base + `,"sub":"ann","sub":"root","exp":1}`:                        false,
		`{` + base + `,"sub":"ann","s\u0075b":"root","exp":1}`:                   false,
		`{` + base + `,"sub":"ann","exp":"1800000060"}`:                          false,
		`{` + base + `,"sub":"ann","exp":1e300}`:                                 false,
		`{` + base + `,"sub":"ann","exp":-1}`:                                    false,
		`{` + base + `,"sub":"ann","exp":null}`:                                  false,
		`{` + base + `,"sub":"ann","nbf":"1","exp":1}`:                           false,
		`{` + base + `,"sub":"ann","nbf":null,"exp":1}`:                          false,
		`{` + base + `,"sub":"ann","exp":1}x`:                                    false,
		`[]`:                                                                     false,
		"{" + base + ",\"sub\":\"\xff\",\"exp\":1}":                              false,
		`{` + base + `,"sub":"ann","exp":1,"x":` + strings.Repeat("[", 40) + `}`: false,
	} {
		c, err := Read([]byte(payload))
		if good != (err == nil) || err != nil && !errors.Is(err, ErrClaims) {
			t.Errorf("%s: %v", payload, err)
		}
		if good && (c.Issuer != "i" || c.Subject != "ann" || c.Audience[0] != "a" || c.Expires == 0) {
			t.Errorf("%s: %+v", payload, c)
		}
	}
	if Strict([]byte(`{"groups":[],"Groups":["admin"]}`)) != nil {
		t.Error("a claim that nobody reads counts")
	}
	if err := Strict([]byte(`{"groups":[],"Groups":["admin"]}`), "groups"); !errors.Is(err, ErrClaims) {
		t.Errorf("a claim that is read: %v", err)
	}
	c, err := Read([]byte(`{"iss":"i","aud":"a","sub":"s","exp":10.0009,"nbf":4.5}`))
	if err != nil || c.Expires != 10_000 || c.NotBefore != 4_501 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestUnverifiedClaimsAreThoseOfThePayload(t *testing.T) {
	i := newIssuer(t)
	c, err := Unverified(i.sign(t, jose.ES256, `{"iss":"i","aud":"a","sub":"s","exp":1}`))
	if err != nil || c.Issuer != "i" {
		t.Error(err)
	}
	for _, raw := range []string{"", "a.b", i.sign(t, jose.ES256, `{}`)} {
		if _, err := Unverified(raw); !errors.Is(err, ErrClaims) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestKeysThatMayNotVerifyAreLeftOut(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), maxRSA), E: 65537}
	huge.N.Add(huge.N, big.NewInt(1))
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	jwk := func(key any, more string) string {
		b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k"})
		if err != nil {
			t.Fatal(err)
		}
		return `{"keys":[` + string(b[:len(b)-1]) + more + `}]}`
	}
	good := private.Public().(ed25519.PublicKey)
	for text, want := range map[string]int{
		jwk(good, ""): 1, jwk(good, `,"use":"enc"`): 0, jwk(good, `,"key_ops":[]`): 0, jwk(good, `,"key_ops":["verify"]`): 1,
		jwk(&weak.PublicKey, ""): 0, jwk(huge, ""): 0, jwk(private, ""): 0, jwk([]byte("secret"), ""): 0,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`: 0, `{"keys":[]}`: 0, `{"keys":[{"kty":"new"}]}`: 0,
	} {
		set, err := ParseSet([]byte(text))
		if err != nil || set.Len() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{``, `{}`, `[]`, `{"keys":null}`, `{"keys":{}}`, `<html>`} {
		if _, err := ParseSet([]byte(text)); !errors.Is(err, ErrSet) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	i := newIssuer(f)
	set, err := ParseSet(i.set)
	if err != nil {
		f.Fatal(err)
	}
	made := map[string]bool{}
	for _, alg := range algorithms {
		raw := i.sign(f, alg, fmt.Sprintf(`{"iss":"i","aud":"a","sub":"s","exp":%d}`, 1))
		made[raw] = true
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, _ = Unverified(raw)
		if _, err := set.Verify(raw, algorithms); err == nil && !made[raw] && strings.Count(raw, ".") != 2 {
			t.Fatal("another token verifies")
		}
	})
}
