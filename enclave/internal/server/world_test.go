package server

import (
	"bytes"
	"context"
	"crypto/ecdh"
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

	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/enclave/internal/nsm"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
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

// fakeKMS keeps what it is given. It opens one wrapped key.
type fakeKMS struct {
	mu      sync.Mutex
	creds   kms.Credentials
	refuse  error
	reach   error
	gate    chan struct{}
	wrapped string
	der     []byte
}

func (f *fakeKMS) SetCredentials(c kms.Credentials) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.creds = kms.Credentials{
		AccessKeyID: bytes.Clone(c.AccessKeyID), SecretAccessKey: bytes.Clone(c.SecretAccessKey),
		SessionToken: bytes.Clone(c.SessionToken), Expiry: c.Expiry,
	}
	return nil
}

// fakeIdentity has what its session was given; its credentials are valid as long as the fake's are.
type fakeIdentity struct {
	kms interface {
		SetCredentials(kms.Credentials) error
		CredentialsValid() (time.Time, bool)
	}
	given atomic.Bool
}

func (i *fakeIdentity) Set(c kms.Credentials) error {
	err := i.kms.SetCredentials(c)
	i.given.Store(i.given.Load() || err == nil)
	return err
}

func (i *fakeIdentity) Valid() (time.Time, bool) {
	expiry, ok := i.kms.CredentialsValid()
	return expiry, ok && i.given.Load()
}

func (i *fakeIdentity) Number() uint64 {
	if !i.given.Load() {
		return 0
	}
	return 1
}

func (i *fakeIdentity) Close() { i.given.Store(false) }

func (f *fakeKMS) CredentialsValid() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok := len(f.creds.AccessKeyID) > 0 && (f.creds.Expiry.IsZero() || time.Now().Before(f.creds.Expiry))
	return f.creds.Expiry, ok
}

func (f *fakeKMS) Reach(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reach
}

func (f *fakeKMS) Unwrap(ctx context.Context, r keys.Request) (*secret.Buffer, error) {
	f.mu.Lock()
	gate, der, wrapped := f.gate, f.der, f.wrapped
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, &wire.Error{Code: wire.KMSUnavailable}
		}
	}
	if string(r.Wrapped) != wrapped {
		return nil, &wire.Error{Code: wire.KeyDenied}
	}
	return secret.NewFrom(bytes.Clone(der))
}

func (f *fakeKMS) set(change func(*fakeKMS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// fakeModule makes "documents" that are what went into them.
type fakeModule struct {
	nsm.Module
	mu   sync.Mutex
	err  error
	keys [][]byte // the public keys of all documents
}

func (m *fakeModule) Attest(userData, nonce, publicKey []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = append(m.keys, publicKey)
	return bytes.Join([][]byte{userData, nonce, publicKey}, []byte("|")), m.err
}

func (*fakeModule) Describe() (nsm.Description, error) {
	return nsm.Description{ModuleID: "i-test"}, nil
}

func (*fakeModule) PCR(int) (attest.Measurement, bool, error) {
	return attest.Measurement{1}, true, nil
}

// world is a server on a unix socket.
type world struct {
	t      *testing.T
	kms    *fakeKMS
	module *fakeModule
	cache  *keys.Cache
	pool   *workers.Pool
	engine *engine.Engine
	egress *Egress
	logs   *Logs
	server *Server
	path   string
	stop   context.CancelFunc
	served chan error
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, kms: &fakeKMS{}, module: &fakeModule{}, egress: &Egress{}, logs: NewLogs(1000, nil)}
	w.pool = workers.New(workers.Config{Workers: 2, Cost: engine.Costs()})
	var err error
	if w.cache, err = keys.New(context.Background(), keys.Config{}, w.kms); err != nil {
		t.Fatal(err)
	}
	evaluator, err := expr.New(expr.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.engine = engine.New(engine.Config{
		Keys: w.cache, Expressions: evaluator, Workers: w.pool, KeyARNs: map[string]string{region: keyARN},
		MaxWaiting: 1000, MaxWaitingBytes: 64 << 20,
	})
	cfg := Config{
		Engine: w.engine, Keys: w.cache, KMS: w.kms, Module: w.module, Egress: w.egress, Logs: w.logs,
		Identity: func() Identity { return &fakeIdentity{kms: w.kms} },
		Session:  session.ServerConfig{Config: session.Config{Hello: wire.Hello{BuildID: []byte("test")}}},
		Regions:  []string{region}, Commitment: []byte("commitment"), MaxSessions: 8, DrainTimeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	w.server = New(cfg)
	w.listen()
	t.Cleanup(func() {
		w.stop()
		if err := <-w.served; err != nil {
			t.Error(err)
		}
		w.cache.Close()
		w.pool.Close()
	})
	return w
}

func (w *world) listen() {
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.served = stop, make(chan error, 1)
	go func() { w.served <- w.server.Serve(ctx, l) }()
}

// dial opens a session as a parent does.
func (w *world) dial(change ...func(*session.ClientConfig)) *session.Client {
	w.t.Helper()
	c, err := w.tryDial(change...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) tryDial(change ...func(*session.ClientConfig)) (*session.Client, error) {
	conn, err := net.Dial("unix", w.path)
	if err != nil {
		return nil, err
	}
	var cfg session.ClientConfig
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return session.NewClient(ctx, conn, cfg)
}

// request makes a key pair that the fake KMS opens, and the body of a request for one field of it.
func (w *world) request() []byte {
	w.t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		w.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.PublicKey())
	if err != nil {
		w.t.Fatal(err)
	}
	w.kms.set(func(f *fakeKMS) { f.der, f.wrapped = der, "wrapped" })
	pub, err := sealed.ParsePublicKey(sealed.P256, spki)
	if err != nil {
		w.t.Fatal(err)
	}
	blobs, err := sealed.SealRecord(sealed.P256, pub, "v_1", map[string][]byte{"f": []byte("value")})
	if err != nil {
		w.t.Fatal(err)
	}
	q := wire.DecryptRequest{
		VaultID: []byte("v_1"), Region: []byte(region), Suite: uint8(sealed.P256), Encoding: 3, WrappedKey: []byte("wrapped"),
	}
	q.AddField([]byte("f"), blobs["f"])
	return q.Append(nil)
}

// do sends a request; the error is nil when the answer has the value.
func do(c *session.Client, body []byte) error {
	call := c.NewCall()
	defer call.Release()
	call.Deadline = time.Now().Add(20 * time.Second)
	call.Body = append(call.Body, body...)
	if err := c.Do(context.Background(), call); err != nil {
		return err
	}
	var m wire.DecryptResponse
	if err := m.Decode(call.Answer); err != nil {
		return err
	}
	if len(m.Results) != 1 || string(m.Results[0].Value) != "value" {
		return errors.New("not the value")
	}
	return nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s did not come true", what)
}
