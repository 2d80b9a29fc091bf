package kms

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	encasn1 "encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/secret"
	"redoubt/wire/kit/test/attesttest"
)

const (
	testRegion = "us-east-1"
	testHost   = "kms.us-east-1.amazonaws.com"
	testARN    = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
	otherARN   = "arn:aws:kms:us-east-1:000000000000:key/99999999-2222-3333-4444-555555555555"
)

// fakeKMS speaks just enough of KMS's protocol, over TLS on pipes, to answer and to fail. Its "ciphertexts" are made
// by wrap. What it would answer passes through edit first.
type fakeKMS struct {
	pinged string // the time in answers to pings; "": the true one
	// pingStatus is the status of answers to pings; 0: 200.
	pingStatus int
	t          testing.TB
	ca         []byte // PEM
	listener   *pipeListener
	server     *http.Server
	issuer     *attesttest.Authority

	mu       sync.Mutex
	requests []decryptRequest
	headers  []http.Header
	dials    int
	fail     func(n int, w http.ResponseWriter, r *http.Request) bool // true: it has answered
	edit     func(n int, answer map[string]any)
	dialFail error
	network  func(net.Conn) net.Conn // wraps the client's end
	tls      func(*tls.Config)       // changes the configuration of the next connections
	spoken   []tls.ConnectionState   // of requests
}

type decryptRequest struct {
	CiphertextBlob    []byte
	KeyId             string
	EncryptionContext map[string]string
	Recipient         struct {
		AttestationDocument    []byte
		KeyEncryptionAlgorithm string
	}
}

// wrap makes a ciphertext for the fake: bound to a key and an encryption context.
func wrap(arn string, context map[string]string, plain string) []byte {
	bound, _ := json.Marshal(context)
	return []byte("wrapped|" + arn + "|" + string(bound) + "|" + plain)
}

func newFakeKMS(t testing.TB) *fakeKMS {
	t.Helper()
	certificate, ca := testCertificate(t, testHost)
	issuer, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeKMS{t: t, ca: ca, listener: newPipeListener(), issuer: issuer}
	f.server = &http.Server{
		Handler: http.HandlerFunc(f.serve), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.tls == nil {
			return nil, nil
		}
		changed := &tls.Config{Certificates: config.Certificates, MinVersion: tls.VersionTLS12}
		f.tls(changed)
		return changed, nil
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := f.server.Serve(tls.NewListener(f.listener, config)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = f.server.Close()
		<-served
	})
	return f
}

func (f *fakeKMS) dial(ctx context.Context, hostport string) (net.Conn, error) {
	f.mu.Lock()
	f.dials++
	fail, network := f.dialFail, f.network
	f.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	if hostport != testHost+":443" {
		return nil, errors.New("the egress allows no other host")
	}
	conn, err := f.listener.dial(ctx)
	if err == nil && network != nil {
		conn = network(conn)
	}
	return conn, err
}

// set changes the behaviour from now on.
func (f *fakeKMS) set(change func(*fakeKMS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeKMS) asked() []decryptRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fakeKMS) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		f.mu.Lock()
		if f.pinged != "" {
			w.Header().Set("Date", f.pinged)
		}
		status := cmp.Or(f.pingStatus, http.StatusOK)
		f.mu.Unlock()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "healthy")
		return
	}
	var q decryptRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		respond(w, http.StatusBadRequest, "SerializationException")
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, q)
	f.headers = append(f.headers, r.Header.Clone())
	f.spoken = append(f.spoken, *r.TLS)
	n, fail, edit := len(f.requests), f.fail, f.edit
	f.mu.Unlock()
	if fail != nil && fail(n, w, r) {
		return
	}
	answer, failure := f.decrypt(q)
	if failure != "" {
		respond(w, http.StatusBadRequest, failure)
		return
	}
	if edit != nil {
		edit(n, answer)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *fakeKMS) decrypt(q decryptRequest) (answer map[string]any, failure string) {
	doc, err := attest.Verify(q.Recipient.AttestationDocument, attest.Options{
		Roots: []attest.Root{f.issuer.Root()}, Allowed: []attest.PCRs{attesttest.DefaultPCRs()},
		PublicKey: attest.Present(),
	})
	if err != nil || q.Recipient.KeyEncryptionAlgorithm != "RSAES_OAEP_SHA_256" {
		return nil, "ValidationException"
	}
	parts := strings.SplitN(string(q.CiphertextBlob), "|", 4)
	bound, _ := json.Marshal(q.EncryptionContext)
	switch {
	case len(parts) != 4 || parts[2] != string(bound):
		return nil, "InvalidCiphertextException"
	case parts[1] != q.KeyId:
		return nil, "IncorrectKeyException"
	}
	parsed, err := x509.ParsePKIXPublicKey(doc.PublicKey)
	if err != nil {
		return nil, "ValidationException"
	}
	return map[string]any{
		"KeyId": q.KeyId, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
		"CiphertextForRecipient": envelope(f.t, parsed.(*rsa.PublicKey), []byte(parts[3])),
	}, ""
}

// respond writes an error as KMS does.
func respond(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "SENTINEL of the service"})
}

// failing answers the first n requests, or all of them if n is negative, with an error.
func failing(n, status int, code string) func(int, http.ResponseWriter, *http.Request) bool {
	return func(i int, w http.ResponseWriter, _ *http.Request) bool {
		if n >= 0 && i > n {
			return false
		}
		respond(w, status, code)
		return true
	}
}

// envelope seals plain as KMS does, in DER.
func envelope(t testing.TB, key *rsa.PublicKey, plain []byte) []byte {
	cek, iv := make([]byte, 32), make([]byte, 16)
	_, _ = rand.Read(cek)
	_, _ = rand.Read(iv)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key, cek, nil)
	if err != nil {
		t.Error(err)
	}
	pad := 16 - len(plain)%16
	padded := append(slices.Clone(plain), slices.Repeat([]byte{byte(pad)}, pad)...)
	block, err := aes.NewCipher(cek)
	if err != nil {
		t.Error(err)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)

	oid := func(b *cryptobyte.Builder, id ...int) { b.AddASN1ObjectIdentifier(encasn1.ObjectIdentifier(id)) }
	nist, pkcs := []int{2, 16, 840, 1, 101, 3, 4}, []int{1, 2, 840, 113549, 1}
	sequence := func(b *cryptobyte.Builder, f func(*cryptobyte.Builder)) { b.AddASN1(asn1.SEQUENCE, f) }
	context0, context1 := asn1.Tag(0).ContextSpecific(), asn1.Tag(1).ContextSpecific()
	hash := func(b *cryptobyte.Builder) {
		sequence(b, func(b *cryptobyte.Builder) { oid(b, append(nist, 2, 1)...) })
	}
	recipient := func(b *cryptobyte.Builder) {
		b.AddASN1Int64(2)
		b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 32)) })
		sequence(b, func(b *cryptobyte.Builder) {
			oid(b, append(pkcs, 1, 7)...)
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1(context0.Constructed(), hash)
				b.AddASN1(context1.Constructed(), func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) { oid(b, append(pkcs, 1, 8)...); hash(b) })
				})
			})
		})
		b.AddASN1OctetString(wrapped)
	}
	var b cryptobyte.Builder
	sequence(&b, func(b *cryptobyte.Builder) {
		oid(b, append(pkcs, 7, 3)...)
		b.AddASN1(context0.Constructed(), func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(2)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { sequence(b, recipient) })
				sequence(b, func(b *cryptobyte.Builder) {
					oid(b, append(pkcs, 7, 1)...)
					sequence(b, func(b *cryptobyte.Builder) { oid(b, append(nist, 1, 42)...); b.AddASN1OctetString(iv) })
					b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddBytes(padded) })
				})
			})
		})
	})
	return b.BytesOrPanic()
}

// testCertificate makes an authority and a server's certificate under it, valid from before a bubble's time on.
func testCertificate(t testing.TB, host string) (server tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{host},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pipeListener hands out the server's ends of in-memory pipes, which synctest understands.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return newAsyncConn(client), nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// testModule is a Nitro Secure Module whose documents the fake believes.
type testModule struct {
	nsm.Module
	issuer *attesttest.Authority

	mu    sync.Mutex
	fail  error
	block chan struct{}
	calls []attesttest.Spec
}

func (m *testModule) Attest(userData, nonce, publicKey []byte) ([]byte, error) {
	spec := attesttest.Spec{UserData: userData, Nonce: nonce, PublicKey: publicKey, Untagged: true}
	m.mu.Lock()
	m.calls = append(m.calls, spec)
	fail, block := m.fail, m.block
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	if fail != nil {
		return nil, fail
	}
	return m.issuer.Issue(spec)
}

func (m *testModule) set(change func(*testModule)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *testModule) made() []attesttest.Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// testClient is a client with one identity, by which it asks unless a request names another.
type testClient struct {
	*Client
	by *Identity
}

func newTestIdentity(c *Client) *testClient { return &testClient{c, c.NewIdentity()} }

func (c *testClient) SetCredentials(creds Credentials) error { return c.by.Set(creds) }

func (c *testClient) Unwrap(ctx context.Context, r keys.Request) (*secret.Buffer, error) {
	if r.By == nil {
		r.By = c.by
	}
	return c.Client.Unwrap(ctx, r)
}

// newTestClient makes a client of the fake, with credentials.
func newTestClient(t testing.TB, f *fakeKMS, change ...func(*Config)) (*testClient, *testModule) {
	t.Helper()
	module := &testModule{issuer: f.issuer}
	cfg := Config{Keys: map[string]string{testRegion: testARN}, ExtraRootsPEM: f.ca, Dial: f.dial, Module: module}
	for _, edit := range change {
		edit(&cfg)
	}
	client, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c := newTestIdentity(client)
	if err := c.SetCredentials(testCredentials("AKIDTEST", time.Time{})); err != nil {
		t.Fatal(err)
	}
	return c, module
}

func testCredentials(id string, expiry time.Time) Credentials {
	return Credentials{
		AccessKeyID: []byte(id), SecretAccessKey: []byte("SENTINEL-SECRET-" + id), SessionToken: []byte("TOKEN-" + id),
		Expiry: expiry,
	}
}

// vaultContext is the encryption context of a record that has one.
func vaultContext(id string) map[string]string { return map[string]string{"vault_id": id} }

func vaultKey(id, plain string) keys.Request {
	return keys.Request{
		KeyContext: true, KeyARN: testARN, VaultID: []byte(id), Wrapped: wrap(testARN, vaultContext(id), plain),
	}
}

func mustUnwrap(t testing.TB, c *testClient, r keys.Request, want string) {
	t.Helper()
	got, err := c.Unwrap(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if string(got.Bytes()) != want {
		t.Errorf("opened to %d bytes, not to what was wrapped", got.Len())
	}
}

// asyncConn lets writes return before they are read, as those of a socket do: on a bare pipe two ends that write at
// the same time, as TLS does when it refuses a certificate, wait for each other.
type asyncConn struct {
	net.Conn
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func newAsyncConn(c net.Conn) *asyncConn {
	a := &asyncConn{Conn: c, queue: make(chan []byte, 64), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-a.queue:
				if _, err := c.Write(p); err != nil {
					return
				}
			case <-a.closed:
				return
			}
		}
	}()
	return a
}

func (a *asyncConn) Write(p []byte) (int, error) {
	select {
	case <-a.closed:
		return 0, net.ErrClosed
	case a.queue <- slices.Clone(p):
		return len(p), nil
	}
}

func (a *asyncConn) Close() error {
	a.once.Do(func() { close(a.closed) })
	return a.Conn.Close()
}
