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

// gated counts the calls of a fake, and holds them when a test says so.
type gated struct {
	mu     sync.Mutex
	gate   chan struct{} // when set, a call waits for it to be closed
	calls  atomic.Int64
	inside atomic.Int64
	most   atomic.Int64 // calls at a time
}

// enter waits at the gate. The call ends with leave, also when there is an error: the context's.
func (g *gated) enter(ctx context.Context) error {
	g.calls.Add(1)
	n := g.inside.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (g *gated) leave() { g.inside.Add(-1) }

func (g *gated) wantCalls(t *testing.T, n int64) {
	t.Helper()
	if got := g.calls.Load(); got != n {
		t.Errorf("%d calls, want %d", got, n)
	}
}

func (g *gated) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := make(chan struct{})
	g.gate = gate
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gate = nil
		close(gate)
	}
}

// kms is an Unwrapper whose wrapped keys are DER itself, and whose outcome a test decides.
type kms struct {
	gated
	err    error
	panics bool
}

func (k *kms) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *kms) Unwrap(ctx context.Context, r Request) (*secret.Buffer, error) {
	defer k.leave()
	if err := k.enter(ctx); err != nil {
		return nil, err
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
