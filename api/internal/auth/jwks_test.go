package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// bearers authenticates tokens of an issuer whose clock the test sets.
func bearers(t *testing.T, i *issuer, now *time.Time) func(kid string, key any) error {
	t.Helper()
	tokens, err := NewTokens(t.Context(), OIDCConfig{Issuer: i.URL, Audience: "vault", Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": i.URL, "aud": "vault", "sub": "ann", "exp": now.Unix() + 3600}
	return func(kid string, key any) error {
		raw := i.signAs(t, kid, jose.ES256, key, claims)
		_, ok, err := tokens.Authenticate(request("Authorization", "Bearer "+raw))
		if ok != (err == nil) {
			t.Fatalf("%v, %v", ok, err)
		}
		return err
	}
}

func TestOutageOfTheIssuerIsToldFromAWrongToken(t *testing.T) {
	outages := map[string]http.HandlerFunc{
		"error":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"cut off":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"not keys":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>SENTINEL")) },
		"much text":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxJWKS+1)) },
		"moved along": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/gone", http.StatusFound) },
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			now := time.Unix(1_800_000_000, 0)
			try := bearers(t, i, &now)
			i.down.Store(&outage)
			for range 3 {
				if err := try("k", i.key); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "SENTINEL") {
					t.Fatalf("during the outage: %v", err)
				}
			}
			if n := i.fetches.Load(); n != 1 {
				t.Fatalf("%d fetches", n)
			}
			i.down.Store(nil)
			now = now.Add(refetchAfter)
			if err := try("k", i.key); err != nil {
				t.Fatalf("after the outage: %v", err)
			}
			i.down.Store(&outage)
			now = now.Add(refetchAfter)
			if err := try("k", i.key); err != nil {
				t.Fatalf("a key that is known: %v", err)
			}
		})
	}
}

func TestTokensThatNameUnknownKeysFetchTheKeysSeldom(t *testing.T) {
	i := newIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	try := bearers(t, i, &now)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		kid := []string{"unknown", "k"}[n%2] // a wrong signature of a known key makes go-oidc fetch, too
		if err := try(kid, other); !errors.Is(err, ErrUnauthenticated) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("err = %v", err)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Fatalf("%d fetches", n)
	}
	now = now.Add(refetchAfter)
	_ = try("unknown", other)
	if n := i.fetches.Load(); n != 2 {
		t.Fatalf("%d fetches", n)
	}
}
