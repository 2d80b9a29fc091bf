//go:build dev

package enclaved

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/session"
)

// childEnv names the configuration file of a test binary that is to be an enclave.
const childEnv = "REDOUBT_TEST_ENCLAVE"

func init() {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// child is the enclave's main, but that the process can be looked into: it is not hardened. SIGUSR1 runs the garbage
// collector.
func child(path string) error {
	os.Clearenv()
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	Tune(cfg)
	cert, err := os.ReadFile(cfg.SoftNSM.RootCert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(cfg.SoftNSM.RootKey)
	if err != nil {
		return err
	}
	module, err := nsm.NewSoft(nsm.SoftConfig{
		RootCertPEM: cert, RootKeyPEM: key, PCRs: attest.PCRs{0: {1}, 1: {2}, 2: {3}},
	})
	if err != nil {
		return err
	}
	collect := make(chan os.Signal, 1)
	signal.Notify(collect, syscall.SIGUSR1)
	go func() {
		for range collect {
			runtime.GC()
			runtime.GC()
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintln(os.Stderr, "collected", m.HeapAlloc, m.StackInuse, secret.Stats().Mapped)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return Run(ctx, cfg, Environment{Module: module, Build: "child", Console: os.Stderr})
}

// rig is an enclave process, the stand-in that it asks, and a parent's session.
type rig struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	out    *lines
	kms    *awskms.Client
	tls    string
	secret string // of the credentials
	client *session.Client
	gate   atomic.Pointer[chan struct{}] // while set, nothing comes back from the stand-in
}

// newRig starts one. In extra, which is more of the configuration file, KEY_ARN stands for the KMS key.
func newRig(t *testing.T, extra string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, out: &lines{}, secret: "credential-sentinel-" + random(t)}
	arn := r.standIn()
	r.write("enclave.yaml", fmt.Sprintf(`listen: unix://%s/s
keys: {us-east-1: %s}
kms: {endpoint: https://%s, ca_file: %s/kms/%s}
soft_nsm: {root_cert: %s/root.pem, root_key: %s/root.key, pcrs: {0: %s}}
drain_timeout: 3s
%s`, dir, arn, r.tls, dir, kms.CAFile, dir, dir, strings.Repeat("01", 48), strings.ReplaceAll(extra, "KEY_ARN", arn)))
	r.start()
	return r
}

func random(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) gauge(id wire.StatID) int64 {
	r.t.Helper()
	var m wire.Stats
	if err := r.client.Stats(r.t.Context(), &m); err != nil {
		r.t.Fatal(err)
	}
	n, _ := m.Value(id)
	return n
}

// standIn runs the KMS stand-in in this process and returns its key's ARN.
func (r *rig) standIn() string {
	t := r.t
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := authority.RootKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	r.write("root.key", string(key))
	r.write("root.pem", string(authority.RootCertPEM()))
	root, err := attest.ParseRoot(authority.RootCertPEM())
	if err != nil {
		t.Fatal(err)
	}
	s, err := kms.New(kms.Config{
		StateDir: filepath.Join(r.dir, "kms"), AttestationRoots: []attest.Root{root},
		Credentials: []kms.Credential{{AccessKeyID: "local", SecretAccessKey: r.secret}},
		Log:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := kms.OpenCA(filepath.Join(r.dir, "kms"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig, err := ca.ServerConfig(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	plain, err := kms.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := kms.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, plain, encrypted, tlsConfig) }()
	t.Cleanup(func() { stop(); <-served })
	r.tls = encrypted.Addr().String()
	transport := &awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String("http://" + plain.Addr().String()),
		Credentials: credentials.NewStaticCredentialsProvider("local", r.secret, ""),
	}
	r.kms = awskms.New(*transport)
	k, err := s.Store().Find(kms.AliasSymmetric)
	if err != nil {
		t.Fatal(err)
	}
	return k.ARN()
}

// start starts the enclave process and opens a session.
func (r *rig) start() {
	r.t.Helper()
	r.cmd = proctest.Command(r.t, os.Args[0])
	r.cmd.Env = []string{childEnv + "=" + filepath.Join(r.dir, "enclave.yaml")}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	cmd := r.cmd
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Log(r.out.String())
		}
	})
	r.connect()
}

// connect opens a session with credentials, once the enclave listens.
func (r *rig) connect() {
	r.t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r.client, err = r.dial(); err == nil {
			c := r.client
			r.t.Cleanup(func() { _ = c.Close() })
			return
		}
	}
	r.t.Fatalf("no session: %v", err)
}

func (r *rig) dial() (*session.Client, error) { return r.dialAs("local", r.secret) }

// dialAs opens a session with credentials.
func (r *rig) dialAs(id, secret string) (*session.Client, error) {
	conn, err := net.Dial("unix", filepath.Join(r.dir, "s"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := session.NewClient(ctx, conn, session.ClientConfig{
		PingTimeout: time.Minute, // the process is stopped while its memory is searched
		OnEgress: func(ctx context.Context, target string) (net.Conn, error) {
			if target != r.tls {
				return nil, session.ErrRefused
			}
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", target)
			if err != nil {
				return nil, err
			}
			return gated{conn, r}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	m := wire.Credentials{AccessKeyID: []byte(id), Secret: []byte(secret)}
	if err := c.SetCredentials(ctx, &m); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// gated is a connection to the stand-in.
type gated struct {
	net.Conn
	r *rig
}

func (c gated) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if gate := c.r.gate.Load(); gate != nil {
		<-*gate
	}
	return n, err
}

// keyPair is a vault's key, wrapped by the stand-in, and what must not be found in memory.
type keyPair struct {
	vault   string
	wrapped []byte
	pub     *sealed.PublicKey
	private *ecdh.PrivateKey
	der     []byte
}

func (r *rig) keyPair(vault string) *keyPair {
	r.t.Helper()
	k, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	p := &keyPair{vault: vault, private: k}
	if p.der, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		r.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.PublicKey())
	if err != nil {
		r.t.Fatal(err)
	}
	if p.pub, err = sealed.ParsePublicKey(sealed.P384, spki); err != nil {
		r.t.Fatal(err)
	}
	out, err := r.kms.Encrypt(context.Background(), &awskms.EncryptInput{
		KeyId: aws.String(kms.AliasSymmetric), Plaintext: p.der,
		EncryptionContext: map[string]string{"vault_id": vault},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	p.wrapped = out.CiphertextBlob
	return p
}

// request seals the fields and asks for them.
func (p *keyPair) request(t *testing.T, e sealed.Encoding, fields map[string][]byte) *wire.DecryptRequest {
	t.Helper()
	blobs, err := sealed.Seal(e, sealed.P384, p.pub, p.vault, fields)
	if err != nil {
		t.Fatal(err)
	}
	q := &wire.DecryptRequest{
		VaultID: []byte(p.vault), Region: []byte(kms.DefaultRegion), Suite: uint8(sealed.P384), Encoding: uint8(e),
		KeyContext: true, WrappedKey: p.wrapped,
	}
	for name := range fields {
		q.AddField([]byte(name), blobs[name])
	}
	return q
}

// ask sends a request and wants each value to be that of fields.
func ask(c *session.Client, q *wire.DecryptRequest, fields map[string][]byte) error {
	call := c.NewCall()
	defer call.Release()
	call.Deadline = time.Now().Add(10 * time.Second)
	call.Body = q.Append(call.Body)
	if err := c.Do(context.Background(), call); err != nil {
		return err
	}
	var m wire.DecryptResponse
	if err := m.Decode(call.Answer); err != nil {
		return err
	}
	for _, res := range m.Results {
		if res.Kind == wire.ResultField && !bytes.Equal(res.Value, fields[string(q.Fields[res.Index].Name)]) {
			return errors.New("not the value")
		}
	}
	return nil
}
