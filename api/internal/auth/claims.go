package auth

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

// errClaims reports a token that two readers could understand differently.
var errClaims = errors.New("auth: the token's claims are ambiguous")

const (
	maxClaimDepth = 32
	maxTime       = 253_402_300_799 // the last second of the year 9999
)

// standardClaims are the claims that go-oidc reads. It matches names without regard to case, and of two lets the last
// one win.
var standardClaims = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources",
}

// strictClaims checks a verified payload (RFC 7519, sections 4 and 4.1.4): no name twice at any depth, no name that
// differs from a claim that we read only in the case of its letters, times as numbers. groups is a claim that is read
// too.
func strictClaims(payload []byte, groups string) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if !utf8.Valid(payload) || unique(d, 0) != nil {
		return errClaims
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(payload, &claims) != nil {
		return errClaims
	}
	for name := range claims {
		alike := func(k string) bool { return name != k && strings.EqualFold(name, k) }
		if alike(groups) || slices.ContainsFunc(standardClaims, alike) {
			return errClaims
		}
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		if text, ok := claims[name]; ok && !isTime(text) {
			return errClaims
		}
	}
	return nil
}

// isTime reports whether JSON text is a NumericDate: a number, not a string of one.
func isTime(text json.RawMessage) bool {
	var seconds *float64
	return json.Unmarshal(text, &seconds) == nil && seconds != nil && program.Within(*seconds, 0, maxTime)
}

// unique reads one value and fails if an object in it has a name twice.
func unique(d *json.Decoder, depth int) error {
	t, err := d.Token()
	open, ok := t.(json.Delim)
	if err != nil || !ok {
		return err
	}
	if depth++; depth > maxClaimDepth {
		return errClaims
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			text, ok := name.(string)
			if err != nil || !ok || names[text] {
				return errClaims
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

// compact reports whether a token is three parts in base64url whose unused bits are zero. So a token has one
// spelling. Package jose accepts others.
func compact(token string) bool {
	parts := strings.Split(token, ".")
	return len(parts) == 3 && !slices.ContainsFunc(parts, func(part string) bool {
		_, err := base64.RawURLEncoding.Strict().DecodeString(part)
		return err != nil || strings.ContainsAny(part, "\r\n")
	})
}
