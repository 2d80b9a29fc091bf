package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/kit/test/proctest"
)

// rig is a stand-in that serves on loopback, with the authority that its attestation documents chain to.
type rig struct {
	*Server
	t         *testing.T
	dir       string
	url       string // plain
	tlsURL    string
	authority *attesttest.Authority
	rsa       *rsa.PrivateKey
	log       *proctest.Buffer
}

// testRSA is made once: key generation is what costs most in these tests.
var testRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newRig(t *testing.T, edit ...func(*Config)) *rig {
	t.Helper()
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: t.TempDir(), authority: authority, rsa: testRSA(), log: &proctest.Buffer{}}
	cfg := Config{
		StateDir: r.dir, AttestationRoots: []attest.Root{authority.Root()},
		Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	for _, e := range edit {
		e(&cfg)
	}
	if r.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	r.serve()
	return r
}

func (r *rig) serve() {
	r.t.Helper()
	ca, err := OpenCA(r.dir, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	config, err := ca.ServerConfig(time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	plain, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	encrypted, err := Listen(ctx, "localhost:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.url, r.tlsURL = "http://"+plain.Addr().String(), "https://"+encrypted.Addr().String()
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, plain, encrypted, config) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// client is the real SDK, without retries, without a look at the environment.
func (r *rig) client(edit ...func(*awskms.Options)) *awskms.Client {
	opts := awskms.Options{
		Region: DefaultRegion, BaseEndpoint: aws.String(r.url), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(DefaultAccessKey, DefaultSecret, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second},
	}
	for _, e := range edit {
		e(&opts)
	}
	return awskms.New(opts)
}

func (r *rig) spki() []byte {
	der, err := x509.MarshalPKIXPublicKey(&r.rsa.PublicKey)
	if err != nil {
		r.t.Fatal(err)
	}
	return der
}

// document issues an attestation document for the rig's RSA key.
func (r *rig) document(edit ...func(*attesttest.Spec)) []byte {
	r.t.Helper()
	spec := attesttest.Spec{PublicKey: r.spki()}
	for _, e := range edit {
		e(&spec)
	}
	doc, err := r.authority.Issue(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return doc
}

func recipientInfo(doc []byte) *types.RecipientInfo {
	return &types.RecipientInfo{
		AttestationDocument:    doc,
		KeyEncryptionAlgorithm: types.KeyEncryptionMechanismRsaesOaepSha256,
	}
}

func (r *rig) wrap(plaintext []byte, ec map[string]string) []byte {
	r.t.Helper()
	out, err := r.client().Encrypt(context.Background(), &awskms.EncryptInput{
		KeyId: aws.String(AliasSymmetric), Plaintext: plaintext, EncryptionContext: ec,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.CiphertextBlob
}

// admin makes an admin request and demands the status.
func (r *rig) admin(method, path, body string, want int) []byte {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+"/_admin/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, out)
	}
	return out
}

func (r *rig) counts(operation string) OperationCount {
	r.t.Helper()
	var all map[string]OperationCount
	if err := json.Unmarshal(r.admin("GET", "counters", "", 200), &all); err != nil {
		r.t.Fatal(err)
	}
	return all[operation]
}

// wantCode demands that err is the service's exception of that name.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}
