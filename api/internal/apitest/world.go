package apitest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"maps"
	"sync"

	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// World plays KMS and the enclave in the API's process. What both must refuse (another vault's key, another context, a
// bad MAC) is refused. Its methods may be called before, between and during requests.
type World struct {
	Domains

	mu      sync.Mutex
	pairs   map[string]pair
	macKey  []byte
	fail    error
	failKMS error
	calls   map[string]int
	last    *upstream.Request
	report  *map[string]upstream.Access // nil: the true report
}

type pair struct {
	suite sealed.Suite
	key   *sealed.PrivateKey
	bind  map[string]string
}

// NewWorld makes an empty world.
func NewWorld() *World {
	w := &World{pairs: map[string]pair{}, macKey: []byte(rand.Text()), calls: map[string]int{}}
	w.Unwrap = w.unwrap
	return w
}

// FailDecrypt makes every decrypt end in err until it is nil again.
func (w *World) FailDecrypt(err error) { w.set(func() { w.fail = err }) }

// FailKMS makes every call of KMS end in err until it is nil again.
func (w *World) FailKMS(err error) { w.set(func() { w.failKMS = err }) }

// Report makes answers carry this report of what expressions read; nil: none.
func (w *World) Report(r map[string]upstream.Access) { w.set(func() { w.report = &r }) }

// Calls says how often an operation was called: NewKeyPair, MAC, VerifyMAC, Decrypt. Those of domains are counted by
// Domains.
func (w *World) Calls(operation string) (n int) {
	w.set(func() { n = w.calls[operation] })
	return n
}

// Last is the last decrypt request.
func (w *World) Last() (r *upstream.Request) {
	w.set(func() { r = w.last })
	return r
}

func (w *World) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *World) count(operation string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation]++
	return w.failKMS
}

// NewKeyPair implements vault.Keys.
func (w *World) NewKeyPair(_ context.Context, suite sealed.Suite, bind map[string]string) (public, wrapped []byte,
	err error,
) {
	if err := w.count("NewKeyPair"); err != nil {
		return nil, nil, err
	}
	private, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if public, err = x509.MarshalPKIXPublicKey(private.PublicKey()); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	key, err := sealed.ParsePrivateKey(suite, der)
	if err != nil {
		return nil, nil, err
	}
	handle := "wrapped:" + hex.EncodeToString([]byte(rand.Text()))
	w.set(func() { w.pairs[handle] = pair{suite: suite, key: key, bind: maps.Clone(bind)} })
	return public, []byte(handle), nil
}

// MAC implements vault.Keys.
func (w *World) MAC(_ context.Context, message []byte) ([]byte, error) {
	if err := w.count("MAC"); err != nil {
		return nil, err
	}
	return w.mac(message), nil
}

func (w *World) mac(message []byte) []byte {
	m := hmac.New(sha256.New, w.macKey)
	m.Write(message)
	return m.Sum(nil)
}

// VerifyMAC implements vault.Keys.
func (w *World) VerifyMAC(_ context.Context, message, mac []byte) (bool, error) {
	if err := w.count("VerifyMAC"); err != nil {
		return false, err
	}
	return hmac.Equal(w.mac(message), mac), nil
}

// Decrypt implements vault.Opener.
func (w *World) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls["Decrypt"]++
	w.last = r
	if w.fail != nil {
		return nil, w.fail
	}
	if r.Domain != nil {
		return w.Domains.Decrypt(ctx, r)
	}
	suite, key, err := w.pair(r)
	if err != nil {
		return nil, err
	}
	report := access(r)
	if w.report != nil {
		report = *w.report
	}
	return openRequest(suite, key, r, report)
}

// unwrap opens a key that KMS made.
func (w *World) unwrap(r *upstream.Request) (sealed.Suite, *sealed.PrivateKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pair(r)
}

// pair finds a key pair. mu is held.
func (w *World) pair(r *upstream.Request) (sealed.Suite, *sealed.PrivateKey, error) {
	p, ok := w.pairs[string(r.WrappedKey)]
	if !ok || !maps.Equal(p.bind, bound(r)) {
		return 0, nil, &upstream.Error{Code: wire.KeyDenied}
	}
	return p.suite, p.key, nil
}
