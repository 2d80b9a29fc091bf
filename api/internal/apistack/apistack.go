// Package apistack provides what the api binary needs around it in tests: the KMS stand-in, and a parent that opens
// fields without an enclave. That parent asks the stand-in for the key, under a policy that allows this to tests.
// Expressions are not evaluated.
package apistack

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// Stack is the stand-in and the parent, on loopback.
type Stack struct {
	KMS    string // URL
	Parent string // URL

	client      *awskms.Client
	kms, parent *httptest.Server
}

// policy lets every known credential do everything, also Decrypt without an enclave. It is only for tests.
const policy = `{"Version":"2012-10-17","Statement":[
 {"Sid":"Tests","Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"}]}`

// New starts both for the test's duration.
func New(t *testing.T) *Stack {
	t.Helper()
	s, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts both, with the stand-in's keys in dir.
func Start(dir string) (*Stack, error) {
	standIn, err := kms.New(kms.Config{StateDir: dir, Policy: []byte(policy), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	s := &Stack{kms: httptest.NewServer(standIn)}
	s.KMS = s.kms.URL
	s.client = awskms.NewFromConfig(aws.Config{
		Region:      kms.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
	}, func(o *awskms.Options) { o.BaseEndpoint = &s.KMS })
	s.parent = httptest.NewServer(http.HandlerFunc(s.serve))
	s.Parent = s.parent.URL
	return s, nil
}

// Close ends both.
func (s *Stack) Close() {
	s.parent.Close()
	s.kms.Close()
}

// Env is an environment for the api binary: the stack's credentials, and no AWS variables from outside.
func (s *Stack) Env(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "API_") {
			env = append(env, v)
		}
	}
	env = append(env, "AWS_ACCESS_KEY_ID="+kms.DefaultAccessKey, "AWS_SECRET_ACCESS_KEY="+kms.DefaultSecret,
		"API_KMS_ENDPOINT="+s.KMS, "API_PARENT_URL="+s.Parent, "AWS_REGION="+kms.DefaultRegion,
		"API_KMS_KEY="+kms.AliasSymmetric, "API_MAC_KEY="+kms.AliasMAC)
	return append(env, more...)
}

type fieldError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// serve answers POST /v1/decrypt and GET /ready as the parent does.
func (s *Stack) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ready" {
		return
	}
	var in parentapi.Request[[]byte]
	data, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(data, &in) != nil || r.URL.Path != parentapi.PathV1Decrypt {
		answer(w, http.StatusBadRequest, map[string]string{"code": "bad_request"})
		return
	}
	key, suite, err := s.key(r.Context(), &in)
	if err != nil {
		answer(w, http.StatusForbidden, map[string]string{"code": "key_denied"})
		return
	}
	fields, errs := map[string]any{}, map[string]fieldError{}
	for name, blob := range in.Fields {
		value, err := open(key, suite, &in, name, blob)
		if err != nil {
			fields[name], errs[name] = nil, fieldError{"decrypt_failed", "the value could not be decrypted"}
			continue
		}
		fields[name] = value
	}
	if len(fields) > 0 && len(errs) == len(fields) {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"code": "decrypt_failed"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"fields": fields, "errors": errs})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

func (s *Stack) key(ctx context.Context, in *parentapi.Request[[]byte]) (*sealed.PrivateKey, sealed.Suite, error) {
	suite, err := sealed.ParseSuite(in.SuiteID)
	if err != nil {
		return nil, 0, err
	}
	bind := map[string]string(nil)
	if in.KeyContext == 1 {
		bind = map[string]string{"vault_id": in.VaultID}
	}
	out, err := s.client.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: in.WrappedKey, EncryptionContext: bind})
	if err != nil {
		return nil, 0, err
	}
	key, err := sealed.ParsePrivateKey(suite, out.Plaintext)
	return key, suite, err
}

func open(
	key *sealed.PrivateKey, suite sealed.Suite, in *parentapi.Request[[]byte], name string, raw []byte,
) (string, error) {
	encoding, err := sealed.ParseEncoding(in.Encoding)
	if err != nil {
		return "", err
	}
	blob, err := sealed.ParseBlob(suite, encoding, raw)
	if err != nil {
		return "", err
	}
	c, err := key.Derive(make([]byte, sealed.ContextSize), []byte(in.VaultID), blob.Enc)
	if err != nil {
		return "", err
	}
	plain, err := c.Open(nil, []byte(name), blob)
	return string(plain), err
}
