package cli

import (
	"context"
	"errors"

	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// measuredKeys, measuredOpener and measuredEnclave measure and trace the calls of the key service and the parent.
type (
	measuredKeys struct {
		vault.Keys
		m *httpapi.Metrics
	}
	measuredOpener struct {
		vault.Opener
		m *httpapi.Metrics
	}
	measuredEnclave struct {
		measuredOpener
		e vault.Enclave
	}
)

func (k measuredKeys) NewKeyPair(ctx context.Context, suite sealed.Suite, bind map[string]string) (public,
	wrapped []byte, err error,
) {
	ctx, call := k.m.Call(ctx, "kms", "new_key_pair")
	public, wrapped, err = k.Keys.NewKeyPair(ctx, suite, bind)
	call.Done(outcome(err))
	return public, wrapped, err
}

func (k measuredKeys) MAC(ctx context.Context, message []byte) ([]byte, error) {
	ctx, call := k.m.Call(ctx, "kms", "mac")
	mac, err := k.Keys.MAC(ctx, message)
	call.Done(outcome(err))
	return mac, err
}

func (k measuredKeys) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	ctx, call := k.m.Call(ctx, "kms", "verify_mac")
	ok, err := k.Keys.VerifyMAC(ctx, message, mac)
	call.Done(outcome(err))
	return ok, err
}

func (o measuredOpener) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	ctx, call := o.m.Call(ctx, "parent", "decrypt")
	res, err := o.Opener.Decrypt(ctx, r)
	call.Done(outcome(err))
	return res, err
}

func (e measuredEnclave) Mint(ctx context.Context, q *upstream.Mint) ([]parentapi.VaultKey, error) {
	ctx, call := e.m.Call(ctx, "parent", "mint")
	keys, err := e.e.Mint(ctx, q)
	call.Done(outcome(err))
	return keys, err
}

func (e measuredEnclave) Reseal(ctx context.Context, q *upstream.Reseal) (*parentapi.Resealed, error) {
	ctx, call := e.m.Call(ctx, "parent", "reseal")
	out, err := e.e.Reseal(ctx, q)
	call.Done(outcome(err))
	return out, err
}

// outcome reduces an error to a static word.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var (
		up    *upstream.Error
		large *upstream.TooLargeError
	)
	switch {
	case errors.As(err, &large):
		return "too_large"
	case errors.Is(err, upstream.ErrUnavailable):
		return "unavailable" // as of the other dependencies
	case errors.As(err, &up):
		return up.Name()
	case errors.Is(err, kmsclient.ErrDenied):
		return "denied"
	case errors.Is(err, kmsclient.ErrThrottled):
		return "throttled"
	case errors.Is(err, kmsclient.ErrNoCredentials):
		return "no_credentials"
	}
	return "unavailable"
}
