package engine

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/session"
)

func TestMain(m *testing.M) {
	secret.SetPolicy(secret.WarnUnlocked)
	goleak.VerifyTestMain(m)
}

const (
	region = "us-east-1"
	keyARN = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000"
)

// fakeKMS opens "wrapped keys" that are names in a map. It binds a key to its vault when the request has a context.
type fakeKMS struct {
	mu    sync.Mutex
	keys  map[string]wrappedKey
	gate  chan struct{} // when set, an answer waits for a value
	err   error
	boom  bool
	asked atomic.Int64
}

type wrappedKey struct {
	der     []byte
	vault   string
	context bool
}

func (f *fakeKMS) Unwrap(ctx context.Context, r keys.Request) (*secret.Buffer, error) {
	f.asked.Add(1)
	f.mu.Lock()
	gate, err, boom, k := f.gate, f.err, f.boom, f.keys[string(r.Wrapped)]
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, &wire.Error{Code: wire.KMSUnavailable}
		}
	}
	switch {
	case boom:
		panic("kms")
	case err != nil:
		return nil, err
	case k.der == nil || r.KeyARN != keyARN || k.context != r.KeyContext || (k.context && k.vault != string(r.VaultID)):
		return nil, &wire.Error{Code: wire.KeyDenied}
	}
	return secret.NewFrom(append([]byte(nil), k.der...))
}

func (f *fakeKMS) set(change func(*fakeKMS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// vault is one record's key pair and id.
type vault struct {
	id      string
	wrapped string
	suite   sealed.Suite
	pub     *sealed.PublicKey
	spki    []byte
	der     []byte
	context bool
}

// world is an engine behind a real session.
type world struct {
	tb      testing.TB
	kms     *fakeKMS
	pool    *workers.Pool
	cache   *keys.Cache
	engine  *Engine
	client  *session.Client
	server  *session.Server
	handler *handler
	without wire.Features
}

type options struct {
	without wire.Features // what the enclave does not announce
	workers workers.Config
	keys    keys.Config
	expr    expr.Config
	change  func(*Config)
	cfg     session.ClientConfig
}

// handler is the least that a session needs beside the engine.
type handler struct {
	engine   *Engine
	origin   Origin
	panicked atomic.Int64
	before   func(*session.Request)
	instead  func(*session.Request) // takes the request in the engine's place
}

func (h *handler) Request(r *session.Request) {
	if h.before != nil {
		h.before(r)
	}
	if h.instead != nil {
		h.instead(r)
		return
	}
	h.engine.Request(r, &h.origin)
}
func (*handler) Credentials(*wire.Credentials) error            { return nil }
func (*handler) Purge(*wire.Purge) (wire.Purged, error)         { return wire.Purged{}, nil }
func (*handler) Pong() wire.Pong                                { return wire.Pong{} }
func (h *handler) Stats(m *wire.Stats)                          { h.engine.Stats().Snapshot(m) }
func (*handler) Attest(context.Context, []byte) ([]byte, error) { return nil, errors.New("none") }
func (h *handler) Panicked(any)                                 { h.panicked.Add(1) }
func (h *handler) OpenDomain(ctx context.Context, record []byte) error {
	return h.engine.cfg.Keys.OpenDomain(ctx, record, h.origin.Credentials)
}

func newWorld(tb testing.TB, opt options) *world {
	tb.Helper()
	w := &world{tb: tb, without: opt.without, kms: &fakeKMS{keys: map[string]wrappedKey{}}}
	if opt.workers.Workers == 0 {
		opt.workers.Workers = 2
	}
	opt.workers.Cost = Costs()
	w.pool = workers.New(opt.workers)
	if opt.keys.Compute == nil {
		opt.keys.Compute = func(f func()) { w.pool.Do(workers.Single, KindParse, f) }
	}
	var err error
	if w.cache, err = keys.New(context.Background(), opt.keys, w.kms); err != nil {
		tb.Fatal(err)
	}
	evaluator, err := expr.New(opt.expr)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := Config{
		Keys: w.cache, Expressions: evaluator, Workers: w.pool, KeyARNs: map[string]string{region: keyARN},
		MaxWaiting: 4096, MaxWaitingBytes: 64 << 20,
	}
	if opt.change != nil {
		opt.change(&cfg)
	}
	w.engine = New(cfg)
	w.handler = &handler{engine: w.engine}
	w.client, w.server = w.connect(w.handler, opt.cfg)
	tb.Cleanup(func() {
		_ = w.client.Close()
		_ = w.server.Close()
		<-w.server.Done()
		w.cache.Close()
		w.pool.Close()
	})
	return w
}

// connect makes a session over a unix socket.
func (w *world) connect(h session.Handler, cfg session.ClientConfig) (*session.Client, *session.Server) {
	w.tb.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		w.tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	type end struct {
		s   *session.Server
		err error
	}
	ch := make(chan end, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			ch <- end{err: err}
			return
		}
		hello := wire.Hello{Features: wire.AllFeatures() &^ w.without}
		s, err := session.NewServer(context.Background(), conn, session.ServerConfig{
			Config: session.Config{Hello: hello}, Handler: h,
		})
		ch <- end{s, err}
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		w.tb.Fatal(err)
	}
	client, err := session.NewClient(context.Background(), conn, cfg)
	if err != nil {
		w.tb.Fatal(err)
	}
	e := <-ch
	if e.err != nil {
		w.tb.Fatal(e.err)
	}
	return client, e.s
}

// vault makes a key pair that the fake KMS knows. context: wrapped with the vault's id as encryption context.
func (w *world) vault(id string, suite sealed.Suite, context bool) *vault {
	w.tb.Helper()
	k, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		w.tb.Fatal(err)
	}
	v := &vault{id: id, wrapped: "wrapped " + id, suite: suite, context: context}
	if v.der, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		w.tb.Fatal(err)
	}
	if v.spki, err = x509.MarshalPKIXPublicKey(k.PublicKey()); err != nil {
		w.tb.Fatal(err)
	}
	if v.pub, err = sealed.ParsePublicKey(suite, v.spki); err != nil {
		w.tb.Fatal(err)
	}
	w.kms.set(func(f *fakeKMS) { f.keys[v.wrapped] = wrappedKey{v.der, id, context} })
	return v
}

// seal seals fields for the vault.
func (w *world) seal(v *vault, e sealed.Encoding, fields map[string]string) map[string][]byte {
	w.tb.Helper()
	in := make(map[string][]byte, len(fields))
	for n, s := range fields {
		in[n] = []byte(s)
	}
	out, err := sealed.Seal(e, v.suite, v.pub, v.id, in)
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

// request asks for the fields named, in order.
func (v *vault) request(e sealed.Encoding, blobs map[string][]byte, names ...string) *wire.DecryptRequest {
	q := &wire.DecryptRequest{
		VaultID: []byte(v.id), Region: []byte(region), Suite: uint8(v.suite), Encoding: uint8(e), KeyContext: v.context,
		WrappedKey: []byte(v.wrapped),
	}
	for _, n := range names {
		q.AddField([]byte(n), blobs[n])
	}
	return q
}

// do sends a request and returns the decoded answer, with values of its own, or the error's code.
func (w *world) do(q *wire.DecryptRequest, change ...func(*session.Call)) (*wire.DecryptResponse, wire.Code) {
	w.tb.Helper()
	return do(w.tb, w.client, q, change...)
}

func do(tb testing.TB, client *session.Client, q *wire.DecryptRequest, change ...func(*session.Call),
) (*wire.DecryptResponse, wire.Code) {
	tb.Helper()
	c := client.NewCall()
	defer c.Release()
	c.Body = q.Append(c.Body)
	c.Deadline = time.Now().Add(2 * time.Minute)
	for _, f := range change {
		f(c)
	}
	err := client.Do(context.Background(), c)
	var we *wire.Error
	switch {
	case errors.As(err, &we):
		return nil, we.Code
	case err != nil:
		tb.Errorf("no answer: %v", err)
		return nil, wire.Internal
	}
	m := &wire.DecryptResponse{}
	if err := m.Decode(append([]byte(nil), c.Answer...)); err != nil {
		tb.Errorf("answer: %v", err)
		return nil, wire.Internal
	}
	return m, m.Code
}

// want checks the results of an answer: "name=value", "name!code", in order; names of expressions begin with '@'.
func want(t testing.TB, q *wire.DecryptRequest, m *wire.DecryptResponse, code wire.Code, results ...string) {
	t.Helper()
	if code != wire.OK {
		t.Fatalf("answer is %v", code)
	}
	var got []string
	for _, r := range m.Results {
		name := "@"
		if r.Kind == wire.ResultField {
			name = string(q.Fields[r.Index].Name)
		} else {
			name += string(q.Expressions[r.Index].Name)
		}
		if r.Code != wire.OK {
			got = append(got, name+"!"+r.Code.String())
		} else {
			got = append(got, name+"="+string(r.Value))
		}
	}
	if len(got) != len(results) {
		t.Fatalf("results %q, want %q", got, results)
	}
	for i := range got {
		if got[i] != results[i] {
			t.Errorf("result %d is %q, want %q", i, got[i], results[i])
		}
	}
}

// smallCache keeps so few keys and contexts that they come and go all the time.
func smallCache() keys.Config {
	return keys.Config{TTL: time.Second, MaxKeys: 1, MaxContexts: 16}
}
