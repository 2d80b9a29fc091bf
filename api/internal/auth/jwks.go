package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// refetchAfter is the least time between two fetches of the issuer's keys. Anyone can send a token that names an
	// unknown key, and each such token would cost a fetch. A key that the issuer uses at once after publishing it has
	// to wait for that long.
	refetchAfter = 10 * time.Second
	maxJWKS      = 1 << 20 // bytes
)

// ErrUnavailable reports that it cannot be decided at present whether a credential is right.
var ErrUnavailable = errors.New("auth: not available")

var (
	errNoKeys    = errors.New("the issuer's keys cannot be fetched")
	errSignature = errors.New("no key of the issuer made the signature")
)

// issuerKeys is an oidc.KeySet of the keys at a URL. They are fetched when first needed, and again for a token that
// none of them signed, but seldom. go-oidc's own key set does not limit that.
type issuerKeys struct {
	url    string
	client *http.Client
	now    func() time.Time
	keys   atomic.Pointer[[]jose.JSONWebKey]

	mu    sync.Mutex // held during a fetch
	tried time.Time
	err   error // of the last fetch
}

// outageKey is the context's key of a *bool that is set if the keys could not be fetched. It is needed because
// go-oidc's verifier passes on only an error's text.
type outageKey struct{}

// VerifySignature implements oidc.KeySet.
func (k *issuerKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errSignature
	}
	if payload, ok := k.verify(jws); ok {
		return payload, nil
	}
	if err := k.refresh(ctx); err != nil {
		if down, ok := ctx.Value(outageKey{}).(*bool); ok {
			*down = true
		}
		return nil, err
	}
	if payload, ok := k.verify(jws); ok {
		return payload, nil
	}
	return nil, errSignature
}

// verify tries the known keys that the token may mean.
func (k *issuerKeys) verify(jws *jose.JSONWebSignature) ([]byte, bool) {
	keys := k.keys.Load()
	if keys == nil {
		return nil, false
	}
	head := &jws.Signatures[0].Header
	for i := range *keys {
		key := &(*keys)[i]
		if (head.KeyID == "" || key.KeyID == head.KeyID) && (key.Algorithm == "" || key.Algorithm == head.Algorithm) {
			if payload, err := jws.Verify(key); err == nil {
				return payload, true
			}
		}
	}
	return nil, false
}

// refresh fetches the keys unless that was done, or tried, just now. The error is that of the last fetch.
func (k *issuerKeys) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.tried.IsZero() || now.Sub(k.tried) >= refetchAfter {
		k.tried, k.err = now, k.fetch(context.WithoutCancel(ctx)) // others wait for its answer too
	}
	return k.err
}

// fetch replaces the keys. Keys of unknown kinds are left out. An answer that is not a set of keys counts as an
// outage, and so does no answer.
func (k *issuerKeys) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, oidcTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return errNoKeys
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return errNoKeys
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err != nil || len(data) > maxJWKS || resp.StatusCode != http.StatusOK || json.Unmarshal(data, &set) != nil ||
		set.Keys == nil {
		return errNoKeys
	}
	keys := make([]jose.JSONWebKey, 0, len(set.Keys))
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && key.Valid() && key.IsPublic() && verifies(raw, key.Use) {
			keys = append(keys, key)
		}
	}
	k.keys.Store(&keys)
	return nil
}

// verifies reports whether the issuer means a key for signatures (RFC 7517, sections 4.2 and 4.3). Package jose reads
// use but ignores it, and does not read key_ops.
func verifies(raw json.RawMessage, use string) bool {
	var key struct {
		Operations *[]string `json:"key_ops"`
	}
	return json.Unmarshal(raw, &key) == nil && (use == "" || use == "sig") &&
		(key.Operations == nil || slices.Contains(*key.Operations, "verify"))
}
