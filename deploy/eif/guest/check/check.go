// Package check drives a running parent and KMS stand-in from outside, as the guest tests do it: it makes vaults whose
// keys the stand-in wraps, seals fields in every encoding, and asks the parent to open them.
package check

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/wire/kit/sealed"
)

// These are the region and the keys of the local stack's stand-in.
const (
	Region    = "us-east-1"
	KeyAlias  = "alias/redoubt"
	AccessKey = "local"
	SecretKey = "local-secret"
)

// Target is a running stack.
type Target struct {
	Parent string // base URL of the parent
	KMS    string // base URL of the stand-in's plain listener
	Client *http.Client
}

// New returns a Target with a client that keeps connections.
func New(parent, kmsURL string) *Target {
	tr := &http.Transport{MaxIdleConnsPerHost: 128, MaxConnsPerHost: 128}
	return &Target{Parent: parent, KMS: kmsURL, Client: &http.Client{Transport: tr, Timeout: 60 * time.Second}}
}

// KMSClient talks to the stand-in with its own credentials and nothing from the environment.
func (t *Target) KMSClient() *kms.Client {
	return kms.New(kms.Options{
		Region: Region, BaseEndpoint: aws.String(t.KMS), HTTPClient: t.Client,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	})
}

// WaitReady polls until the parent is ready or ctx ends.
func (t *Target) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "no answer"
	for {
		status, body, err := t.get(ctx, "/ready")
		if err == nil && status == http.StatusOK {
			return nil
		}
		if err == nil {
			last = string(body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("parent is not ready: %s", last)
		case <-tick.C:
		}
	}
}

// Ready asks the parent whether it is ready: the status, and which conditions fail.
func (t *Target) Ready(ctx context.Context) (status int, failing []string, err error) {
	status, body, err := t.get(ctx, "/ready")
	if err != nil {
		return 0, nil, err
	}
	var answer struct{ Failing []string }
	return status, answer.Failing, json.Unmarshal(body, &answer)
}

func (t *Target) get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Parent+path, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	return t.do(req)
}

func (t *Target) do(req *http.Request) (int, []byte, error) {
	resp, err := t.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// Vault is a key pair whose private part only KMS can unwrap.
type Vault struct {
	ID      string
	Suite   sealed.Suite
	Context bool // the wrapped key is bound to the vault id
	Wrapped []byte
	Public  *sealed.PublicKey
}

// NewVault makes a key pair and has the stand-in wrap its private part.
func (t *Target) NewVault(ctx context.Context, id string, suite sealed.Suite, withContext bool) (*Vault, error) {
	key, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	pub, err := sealed.ParsePublicKey(suite, spki)
	if err != nil {
		return nil, err
	}
	in := &kms.EncryptInput{KeyId: aws.String(KeyAlias), Plaintext: der}
	if withContext {
		in.EncryptionContext = map[string]string{"vault_id": id}
	}
	out, err := t.KMSClient().Encrypt(ctx, in)
	if err != nil {
		return nil, err
	}
	return &Vault{ID: id, Suite: suite, Context: withContext, Wrapped: out.CiphertextBlob, Public: pub}, nil
}
