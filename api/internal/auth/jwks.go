package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/kit/jwt"
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

var errNoKeys = errors.New("the issuer's keys cannot be fetched")

// issuerKeys is an oidc.KeySet of the keys at a URL. They are fetched when first needed, and again for a token that
// none of them signed, but seldom. go-oidc's own key set does not limit that.
type issuerKeys struct {
	url    string
	client *http.Client
	now    func() time.Time
	keys   atomic.Pointer[jwt.Set]

	mu    sync.Mutex // held during a fetch
	tried time.Time
	err   error // of the last fetch
}

// outageKey is the context's key of a *bool that is set if the keys could not be fetched. It is needed because
// go-oidc's verifier passes on only an error's text.
type outageKey struct{}

// VerifySignature implements oidc.KeySet.
func (k *issuerKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	if payload, err := k.keys.Load().Verify(token, algorithms); err == nil {
		return payload, nil
	}
	if err := k.refresh(ctx); err != nil {
		if down, ok := ctx.Value(outageKey{}).(*bool); ok {
			*down = true
		}
		return nil, err
	}
	return k.keys.Load().Verify(token, algorithms)
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
	if err != nil || len(data) > maxJWKS || resp.StatusCode != http.StatusOK {
		return errNoKeys
	}
	keys, err := jwt.ParseSet(data)
	if err != nil {
		return errNoKeys
	}
	k.keys.Store(keys)
	return nil
}
