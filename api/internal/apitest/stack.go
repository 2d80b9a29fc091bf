package apitest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

// Stack is what the api binary needs around it: the KMS stand-in, and a parent that opens fields without an enclave.
// Both listen on loopback.
type Stack struct {
	KMS    string // URL
	Parent string // URL

	client      *awskms.Client
	kms, parent *httptest.Server
}

// policy lets every known credential do everything, also Decrypt without an enclave. It is only for tests.
const policy = `{"Version":"2012-10-17","Statement":[
 {"Sid":"Tests","Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"}]}`

// NewStack starts both for the test's duration.
func NewStack(t *testing.T) *Stack {
	t.Helper()
	s, err := StartStack(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartStack starts both, with the stand-in's keys in dir.
func StartStack(dir string) (*Stack, error) {
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
	s.parent = httptest.NewServer(Parent(s))
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

// Decrypt implements vault.Opener: it asks the stand-in for the key, without a proof, and opens as [World] does. As
// enclaves of older releases, it does not report what expressions read.
func (s *Stack) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	suite, err := sealed.ParseSuite(r.SuiteID)
	if err != nil {
		return nil, &upstream.Error{Code: wire.BadRequest}
	}
	out, err := s.client.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: r.WrappedKey, EncryptionContext: bound(r)})
	if err != nil {
		return nil, &upstream.Error{Code: wire.KeyDenied}
	}
	key, err := sealed.ParsePrivateKey(suite, out.Plaintext)
	if err != nil {
		return nil, &upstream.Error{Code: wire.KeyDenied}
	}
	return openRequest(suite, key, r, nil)
}

// Held is a parent that holds every decrypt until it is released.
type Held struct {
	URL     string
	Entered chan struct{} // gets a value for each decrypt that has arrived
	Release chan struct{} // closed to let them continue
}

// Hold puts a Held in front of a parent, for the test's duration.
func Hold(t *testing.T, parent string) *Held {
	t.Helper()
	to, err := url.Parse(parent)
	if err != nil {
		t.Fatal(err)
	}
	h := &Held{Entered: make(chan struct{}), Release: make(chan struct{})}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !h.hold(r.Context()) {
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	h.URL = s.URL
	return h
}

// hold waits for the release. It returns false if the caller gave up.
func (h *Held) hold(ctx context.Context) bool {
	select {
	case h.Entered <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	select {
	case <-h.Release:
		return true
	case <-ctx.Done():
		return false
	}
}
