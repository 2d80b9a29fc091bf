package keys

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// kms is an Unwrapper whose wrapped keys are DER itself, and whose outcome a test decides.
type kms struct {
	mu     sync.Mutex
	err    error
	gate   chan struct{} // when set, an unwrap waits for it to be closed
	panics bool
	calls  atomic.Int64
	inside atomic.Int64
	most   atomic.Int64 // unwraps at a time
}

func (k *kms) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *kms) hold() (release func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	gate := make(chan struct{})
	k.gate = gate
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.gate = nil
		close(gate)
	}
}

func (k *kms) Unwrap(ctx context.Context, r Request) (*secret.Buffer, error) {
	k.calls.Add(1)
	n := k.inside.Add(1)
	defer k.inside.Add(-1)
	for m := k.most.Load(); n > m && !k.most.CompareAndSwap(m, n); m = k.most.Load() {
	}
	k.mu.Lock()
	gate := k.gate
	k.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.panics {
		panic("sentinel")
	}
	if k.err != nil {
		return nil, k.err
	}
	return secret.NewFrom(append([]byte(nil), r.Wrapped...))
}

func coded(c wire.Code) error { return &wire.Error{Code: c} }

// vault is a key pair and a record sealed to it.
type vault struct {
	id  string
	req Request
	pub *sealed.PublicKey
}

func newVault(t testing.TB, id string) vault { return newVaultOf(t, sealed.P256, id) }

func newVaultOf(t testing.TB, suite sealed.Suite, id string) vault {
	t.Helper()
	key, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := sealed.ParsePublicKey(suite, spki)
	if err != nil {
		t.Fatal(err)
	}
	return vault{
		id: id, pub: pub,
		req: Request{
			Suite: suite, KeyContext: true, KeyARN: "arn:aws:kms:us-east-1:000000000000:key/1",
			VaultID: []byte(id), Wrapped: der,
		},
	}
}

func (v vault) seal(t testing.TB, e sealed.Encoding, fields map[string]string) map[string]sealed.Blob {
	t.Helper()
	in := make(map[string][]byte)
	for name, value := range fields {
		in[name] = []byte(value)
	}
	out, err := sealed.Seal(e, v.req.Suite, v.pub, v.id, in)
	if err != nil {
		t.Fatal(err)
	}
	blobs := make(map[string]sealed.Blob)
	for name, raw := range out {
		if blobs[name], err = sealed.ParseBlob(v.req.Suite, e, raw); err != nil {
			t.Fatal(err)
		}
	}
	return blobs
}

func newCache(t testing.TB, cfg Config, u Unwrapper) *Cache {
	t.Helper()
	c, err := New(context.Background(), cfg, u)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get fetches a key that must come, and gives it back.
func get(t testing.TB, c *Cache, v vault) {
	t.Helper()
	k, err := c.Get(context.Background(), &v.req)
	if err != nil {
		t.Fatal(err)
	}
	k.Release()
}

// cached reports whether a lookup hits.
func cached(c *Cache, v vault) bool {
	k, ok := c.Lookup(&v.req)
	if ok {
		k.Release()
	}
	return ok
}

func codeOf(err error) wire.Code {
	var e *wire.Error
	if err == nil {
		return wire.OK
	}
	if !errors.As(err, &e) {
		return 255
	}
	return e.Code
}
