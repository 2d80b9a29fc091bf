package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"redoubt/wire/kit/program"
)

// ErrClaims reports claims that two readers could understand differently, or that are missing.
var ErrClaims = errors.New("the token's claims are ambiguous")

const (
	maxDepth = 32
	maxTime  = 253_402_300_799 // the last second of the year 9999
)

// standardClaims are the claims that readers of tokens use. Some match names without regard to case, and of two let the
// last one win.
var standardClaims = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources",
}

// headerNames are the parameters of a header that readers use.
var headerNames = []string{"alg", "kid", "jwk", "crit", "b64", "typ", "cty", "x5c", "jku", "x5u", "nonce"}

// Strict checks a payload (RFC 7519, sections 4 and 4.1.4): no name twice at any depth, no name that differs from a
// claim that is read only in the case of its letters, times as numbers. also are further claims that the caller reads.
// Error: [ErrClaims].
func Strict(payload []byte, also ...string) error {
	claims, err := object(payload, standardClaims, also)
	if err != nil {
		return err
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		if text, ok := claims[name]; ok && !isTime(text) {
			return ErrClaims
		}
	}
	return nil
}

// object reads a JSON object with unique names, none of which is like one of those given but for its case.
func object(text []byte, names ...[]string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if !utf8.Valid(text) || unique(d, 0) != nil {
		return nil, ErrClaims
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil, ErrClaims
	}
	for name := range members {
		alike := func(k string) bool { return name != k && strings.EqualFold(name, k) }
		for _, list := range names {
			if slices.ContainsFunc(list, alike) {
				return nil, ErrClaims
			}
		}
	}
	return members, nil
}

// isTime reports whether JSON text is a NumericDate: a number, not a string of one.
func isTime(text json.RawMessage) bool {
	_, ok := seconds(text)
	return ok
}

func seconds(text json.RawMessage) (float64, bool) {
	var v *float64
	if json.Unmarshal(text, &v) != nil || v == nil || !program.Within(*v, 0, maxTime) {
		return 0, false
	}
	return *v, true
}

// unique reads one value and fails if an object in it has a name twice.
func unique(d *json.Decoder, depth int) error {
	t, err := d.Token()
	open, ok := t.(json.Delim)
	if err != nil || !ok {
		return err
	}
	if depth++; depth > maxDepth {
		return ErrClaims
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			text, ok := name.(string)
			if err != nil || !ok || names[text] {
				return ErrClaims
			}
			names[text] = true
		}
		if err := unique(d, depth); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// parts splits a token into header, payload and signature, decoded, if each is base64url whose unused bits are zero. So
// a token has one spelling. Package jose accepts others.
func parts(token string) (decoded [3][]byte, ok bool) {
	split := strings.Split(token, ".")
	if len(split) != len(decoded) {
		return decoded, false
	}
	for i, part := range split {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return decoded, false
		}
		decoded[i] = b
	}
	return decoded, true
}

// WellFormed reports whether a token has the one spelling of its three parts, and a header with one reading.
func WellFormed(token string) bool {
	decoded, ok := parts(token)
	if !ok {
		return false
	}
	_, err := object(decoded[0], headerNames)
	return err == nil
}

// Claims are those of a payload that a verifier needs.
type Claims struct {
	// Issuer and Subject are iss and sub, not empty.
	Issuer, Subject string
	// Audience is aud, a name or a list of names.
	Audience []string
	// Expires is exp, in milliseconds since 1970, rounded down. NotBefore is nbf, rounded up; 0 without one.
	Expires, NotBefore int64
}

// Read reads a payload that [Strict] accepts. iss, sub, aud and exp must be there. Error: [ErrClaims].
func Read(payload []byte) (c Claims, err error) {
	if err := Strict(payload); err != nil {
		return Claims{}, err
	}
	var claims struct {
		Issuer    string          `json:"iss"`
		Subject   string          `json:"sub"`
		Audience  json.RawMessage `json:"aud"`
		Expires   json.RawMessage `json:"exp"`
		NotBefore json.RawMessage `json:"nbf"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Issuer == "" || claims.Subject == "" {
		return Claims{}, ErrClaims
	}
	c.Issuer, c.Subject = claims.Issuer, claims.Subject
	var one string
	switch {
	case json.Unmarshal(claims.Audience, &one) == nil:
		c.Audience = []string{one}
	case json.Unmarshal(claims.Audience, &c.Audience) != nil:
		return Claims{}, ErrClaims
	}
	exp, ok := seconds(claims.Expires)
	if !ok {
		return Claims{}, ErrClaims
	}
	c.Expires = int64(exp * 1000)
	if claims.NotBefore != nil {
		nbf, _ := seconds(claims.NotBefore) // Strict has seen it
		c.NotBefore = int64(nbf*1000) + 1
	}
	return c, nil
}

// Unverified reads the claims of a token before anybody knows who made it, to choose the keys that can tell. Error:
// [ErrClaims].
func Unverified(token string) (Claims, error) {
	decoded, ok := parts(token)
	if !ok {
		return Claims{}, ErrClaims
	}
	return Read(decoded[1])
}
