package auth

import (
	"net/http"
	"strings"
)

// bearer returns the request's bearer token. A request with more than one Authorization header has none.
func bearer(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}

// BearerKeys authenticates requests by the keys of a file.
type BearerKeys struct{ Keys *KeyFile }

// Authenticate finds the key in the Authorization header.
func (b BearerKeys) Authenticate(r *http.Request) (Principal, bool, error) {
	token, ok := bearer(r)
	if !ok || !IsKey(token) {
		return Principal{}, false, nil
	}
	p, err := b.Keys.Authenticate(token)
	return p, err == nil, err
}
