package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// respelt changes the unused bits of the last character.
func respelt(text string) string {
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last^1])
}

func TestClaimsThatTwoReadersCouldUnderstandDifferentlyAreRefused(t *testing.T) {
	i := newIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	tokens, err := NewTokens(t.Context(), OIDCConfig{Issuer: i.URL, Audience: "vault", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	const base = `"iss":"ISS","aud":"vault"`
	const exp = `"exp":1800000060`
	for payload, good := range map[string]bool{
		`{` + base + `,"sub":"ann",` + exp + `}`:                                       true,
		`{` + base + `,"sub":"ann","exp":1.80000006e9,"iat":1800000000.5,"x":{"y":1}}`: true,
		`{` + base + `,"sub":"ann","SUB":"root",` + exp + `}`:                          false,
		`{` + base + `,"Sub":"root",` + exp + `}`:                                      false,
		`{` + base + `,"ſub":"root",` + exp + `}`:                                      false,
		`{` + base + `,"sub":"ann","sub":"root",` + exp + `}`:                          false,
		`{` + base + `,"sub":"ann","s\u0075b":"root",` + exp + `}`:                     false,
		`{` + base + `,"sub":"ann","Groups":["admin"],` + exp + `}`:                    false,
		`{` + base + `,"sub":"ann","groups":[],"groups":["admin"],` + exp + `}`:        false,
		`{` + base + `,"sub":"ann","x":{"y":1,"y":2},` + exp + `}`:                     false,
		`{` + base + `,"sub":"ann","exp":"1800000060"}`:                                false,
		`{` + base + `,"sub":"ann","EXP":1800000060,"exp":1}`:                          false,
		`{` + base + `,"sub":"ann","exp":1e300}`:                                       false,
		`{` + base + `,"sub":"ann","nbf":"1800000000",` + exp + `}`:                    false,
		`{` + base + `,"sub":"ann","iat":null,` + exp + `}`:                            false,
	} {
		raw := i.signPayload(t, strings.Replace(payload, "ISS", i.URL, 1))
		_, ok, err := tokens.Authenticate(request("Authorization", "Bearer "+raw))
		if ok != good || !good && !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v %v", payload, ok, err)
		}
	}
	raw := i.signPayload(t, strings.Replace(`{`+base+`,"sub":"ann",`+exp+`}`, "ISS", i.URL, 1))
	if _, ok, _ := tokens.Authenticate(request("Authorization", "Bearer "+respelt(raw))); ok {
		t.Error("a second spelling of the signature is taken")
	}
}

func (i *issuer) signPayload(t *testing.T, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
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

func TestKeysThatAreNotMeantForSignaturesVerifyNone(t *testing.T) {
	for name, good := range map[string]bool{
		``: true, `,"use":"sig"`: true, `,"key_ops":["verify"]`: true, `,"use":"sig","key_ops":["sign","verify"]`: true,
		`,"use":"enc"`: false, `,"use":"SIG"`: false, `,"key_ops":["encrypt"]`: false, `,"key_ops":[]`: false,
		`,"key_ops":"verify"`: false, `,"use":"enc","key_ops":["verify"]`: false, `,"alg":"ES256"`: true, `,"alg":"ES384"`: false,
	} {
		i := newIssuer(t)
		now := time.Unix(1_800_000_000, 0)
		key, err := json.Marshal(jose.JSONWebKey{Key: i.key.Public(), KeyID: "k"})
		if err != nil {
			t.Fatal(err)
		}
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[` + string(key[:len(key)-1]) + name + `}]}`))
		})
		i.down.Store(&answer)
		if err := bearers(t, i, &now)("k", i.key); (err == nil) != good {
			t.Errorf("%s: %v", strconv.Quote(name), err)
		}
	}
}

func TestAnAPIKeyHasOneSpelling(t *testing.T) {
	file, err := OpenKeyFile(filepath.Join(t.TempDir(), "keys.json"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := file.Create("a", Grant{Operations: []string{"*"}, Fields: []string{"*"}}, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Authenticate(key); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{respelt(key), key + "\n", key[:30] + "\r\n" + key[30:], key + "="} {
		if _, err := file.Authenticate(other); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v", other, err)
		}
	}
}
