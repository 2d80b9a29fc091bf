package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
)

// mustFail wants this cause, its code for the caller of the service, and a text without anything of the request.
func mustFail(t testing.TB, c *testClient, r keys.Request, want Cause) *Error {
	t.Helper()
	got, err := c.Unwrap(t.Context(), r)
	if got != nil {
		t.Error("a result beside the error")
	}
	return checkFailure(t, err, want)
}

func checkFailure(t testing.TB, err error, want Cause) *Error {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || failure.Cause != want {
		t.Fatalf("got %v, want cause %q", err, want)
	}
	var coded *wire.Error
	if !errors.As(err, &coded) || coded.Code == wire.OK || (want != CircuitOpen && coded.Code != causeCodes[want]) {
		t.Errorf("code %v of cause %q", coded, want)
	}
	if all := fmt.Sprintf("%v %+v %#v %s", err, err, err, errors.Unwrap(err)); strings.Contains(all, "SENTINEL") {
		t.Errorf("the error tells what it must not: %s", all)
	}
	return failure
}

func TestUnwrapOpensAVaultsKey(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for range 3 {
		mustUnwrap(t, c, vaultKey("v_1", "private key"), "private key")
	}
}

// TestCheck1TheKeyIsPinnedAndTheAnswersKeyCompared is SECURITY.md, check 1.
func TestCheck1TheKeyIsPinnedAndTheAnswersKeyCompared(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	if got := f.asked()[0].KeyId; got != testARN {
		t.Errorf("asked for key %q", got)
	}
	id := strings.TrimPrefix(testARN, "arn:aws:kms:us-east-1:000000000000:key/")
	for _, answer := range []any{otherARN, id, strings.ToUpper(testARN), testARN + " ", "", nil} {
		f.set(func(f *fakeKMS) { f.edit = func(_ int, m map[string]any) { m["KeyId"] = answer } })
		mustFail(t, c, vaultKey("v_1", "key"), BadAnswer)
	}
	before := len(f.asked())
	if before != 1+6 {
		t.Errorf("%d questions: an invalid answer was asked for again", before)
	}
	request := vaultKey("v_1", "key")
	request.KeyARN = otherARN
	mustFail(t, c, request, Denied)
	if len(f.asked()) != before {
		t.Error("KMS was asked for a key that is not configured")
	}
}

func TestCheck1OnlyARNsOfKeysInTheirRegionCanBePinned(t *testing.T) {
	for _, arn := range []string{
		"", "alias/redoubt", "arn:aws:kms:us-east-1:000000000000:alias/redoubt", strings.TrimPrefix(testARN, "arn:"),
		"arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555", // another region's
		"arn:aws:s3:us-east-1:000000000000:key/x", testARN + "/x", "arn:aws:kms:us-east-1::key/x", testARN + "\n",
	} {
		f := &fakeKMS{}
		_, err := New(Config{Keys: map[string]string{testRegion: arn}, Dial: f.dial, Module: &testModule{}})
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", arn, err)
		}
	}
}

// TestCheck2AVaultsKeyServesThatVaultOnly is SECURITY.md, check 2, in both directions, and for both modes.
func TestCheck2AVaultsKeyServesThatVaultOnly(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_a", "key of a"), "key of a")
	mustUnwrap(t, c, vaultKey("v_b", "key of b"), "key of b")
	legacy := keys.Request{KeyARN: testARN, VaultID: []byte("v_a"), Wrapped: wrap(testARN, nil, "legacy key")}
	mustUnwrap(t, c, legacy, "legacy key")

	aForB, bForA := vaultKey("v_a", "key of a"), vaultKey("v_b", "key of b")
	aForB.VaultID, bForA.VaultID = []byte("v_b"), []byte("v_a")
	downgraded, upgraded := vaultKey("v_a", "key of a"), legacy
	downgraded.KeyContext, upgraded.KeyContext = false, true
	for name, r := range map[string]keys.Request{
		"a's key for b": aForB, "b's key for a": bForA, "with context, asked without": downgraded,
		"without context, asked with": upgraded,
	} {
		before := len(f.asked())
		failure := mustFail(t, c, r, Denied)
		if n := len(f.asked()) - before; n != 1 {
			t.Errorf("%s: %d questions, want 1: no other mode may be tried", name, n)
		}
		if failure.OwnFault() {
			t.Errorf("%s: a denial must be remembered against the key", name)
		}
	}
	for _, q := range f.asked() {
		if len(q.EncryptionContext) > 1 {
			t.Errorf("context %v", q.EncryptionContext)
		}
	}
}

// TestCheck3AnswersWithPlaintextOrWithoutOurEnvelopeAreRefused is SECURITY.md, check 3.
func TestCheck3AnswersWithPlaintextOrWithoutOurEnvelopeAreRefused(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for name, edit := range map[string]func(map[string]any){
		"plaintext beside the envelope": func(m map[string]any) { m["Plaintext"] = []byte("SENTINEL plaintext") },
		"plaintext alone": func(m map[string]any) {
			m["Plaintext"] = []byte("SENTINEL plaintext")
			delete(m, "CiphertextForRecipient")
		},
		"no envelope":            func(m map[string]any) { delete(m, "CiphertextForRecipient") },
		"envelope null":          func(m map[string]any) { m["CiphertextForRecipient"] = nil },
		"envelope empty":         func(m map[string]any) { m["CiphertextForRecipient"] = "" },
		"envelope is garbage":    func(m map[string]any) { m["CiphertextForRecipient"] = []byte("garbage") },
		"envelope not base64":    func(m map[string]any) { m["CiphertextForRecipient"] = "%%%" },
		"envelope for another":   func(m map[string]any) { m["CiphertextForRecipient"] = envelope(t, &stranger.PublicKey, []byte("x")) },
		"envelope of wrong type": func(m map[string]any) { m["CiphertextForRecipient"] = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			f.set(func(f *fakeKMS) { f.edit = func(_ int, m map[string]any) { edit(m) } })
			mustFail(t, c, vaultKey("v_1", "key"), BadAnswer)
		})
	}
	f.set(func(f *fakeKMS) { f.edit = func(_ int, m map[string]any) { m["Plaintext"] = "" } }) // "null or empty"
	mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	f.set(func(f *fakeKMS) {
		f.fail = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 2*maxAnswer))
			return true
		}
	})
	mustFail(t, c, vaultKey("v_1", "key"), BadAnswer)
}

// recorder keeps what passes through the parent's hands, and may change it.
type recorder struct {
	net.Conn
	mu   *sync.Mutex
	seen *bytes.Buffer
	edit func([]byte)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.seen.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	r.seen.Write(p[:n])
	r.mu.Unlock()
	if r.edit != nil {
		r.edit(p[:n])
	}
	return n, err
}

// TestCheck4TheParentReadsNothing is SECURITY.md, check 4: the bytes that leave the enclave hold none of what matters.
func TestCheck4TheParentReadsNothing(t *testing.T) {
	f := newFakeKMS(t)
	var mu sync.Mutex
	var seen bytes.Buffer
	f.network = func(c net.Conn) net.Conn { return &recorder{Conn: c, mu: &mu, seen: &seen} }
	c, _ := newTestClient(t, f)
	request := vaultKey("v_secret_vault", "SENTINEL private key")
	mustUnwrap(t, c, request, "SENTINEL private key")
	mu.Lock()
	defer mu.Unlock()
	if seen.Len() < 2000 {
		t.Fatalf("only %d bytes were seen", seen.Len())
	}
	document := f.asked()[0].Recipient.AttestationDocument
	for name, secret := range map[string][]byte{
		"vault id": []byte("v_secret_vault"), "plaintext": []byte("SENTINEL private key"), "token": []byte("TOKEN-AKIDTEST"),
		"access key id": []byte("AKIDTEST"), "document": document[:64], "ARN": []byte(testARN), "ciphertext": request.Wrapped,
	} {
		if bytes.Contains(seen.Bytes(), secret) {
			t.Errorf("the parent saw the %s", name)
		}
	}
}

func TestCheck4TheParentForgesNothing(t *testing.T) {
	f := newFakeKMS(t)
	var mu sync.Mutex
	var seen bytes.Buffer
	c, _ := newTestClient(t, f)
	f.set(func(f *fakeKMS) {
		f.network = func(c net.Conn) net.Conn {
			return &recorder{Conn: c, mu: &mu, seen: &seen, edit: func(p []byte) {
				if len(p) > 0 && len(f.asked()) > 0 { // the answer, not the handshake
					p[len(p)-1] ^= 1
				}
			}}
		}
	})
	mustFail(t, c, vaultKey("v_1", "key"), Unreachable)
}

func TestCheck4OnlyAmazonsRootsAndTheConfiguredOnesAreTrusted(t *testing.T) {
	genuine, impostor := newFakeKMS(t), newFakeKMS(t)
	impostor.issuer = genuine.issuer
	c, module := newTestClient(t, genuine, func(cfg *Config) { cfg.Dial = impostor.dial })
	mustFail(t, c, vaultKey("v_1", "key"), Untrusted)
	if len(impostor.asked()) != 0 {
		t.Error("a request, with its attestation document, went to an endpoint that is not trusted")
	}
	if len(module.made()) == 0 {
		t.Error("the module was not even asked: this proves nothing")
	}
	client, err := New(Config{Keys: map[string]string{testRegion: testARN}, Dial: genuine.dial, Module: module})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	none := newTestIdentity(client)
	if err := none.SetCredentials(testCredentials("AKIDTEST", time.Time{})); err != nil {
		t.Fatal(err)
	}
	mustFail(t, none, vaultKey("v_1", "key"), Untrusted)
}

func TestCheck4OnlyAmazonsRootsAreBuiltIn(t *testing.T) {
	got, err := rootPool(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AppendCertsFromPEM(amazonRootsPEM)
	if !got.Equal(want) {
		t.Error("other roots are trusted beside those of the embedded file")
	}
}

// The SDK goes nowhere else by itself. A redirect, or an endpoint of an option that was overlooked, would.
func TestCheck4AnotherHostIsNotAsked(t *testing.T) {
	asked := 0
	d := &httpDoer{
		host: testHost, answered: new(atomic.Pointer[time.Time]), offset: new(atomic.Int64),
		transport: roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}),
	}
	for _, url := range []string{
		"https://kms.eu-west-1.amazonaws.com/", "http://" + testHost + "/", "https://" + testHost + ":8443/",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := d.Do(req); err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s was asked", url)
		}
	}
	if asked != 0 {
		t.Errorf("%d requests left", asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCheck4AnotherHostsCertificateAndOldTLSAreRefused(t *testing.T) {
	f := newFakeKMS(t)
	certificate, ca := testCertificate(t, "kms.eu-west-1.amazonaws.com")
	serve := func(config *tls.Config) {
		f.set(func(f *fakeKMS) {
			f.network = func(c net.Conn) net.Conn {
				_ = c.Close()
				client, server := net.Pipe()
				go func() {
					conn := tls.Server(server, config)
					_ = conn.HandshakeContext(t.Context())
					_ = conn.Close()
				}()
				return newAsyncConn(client)
			}
		})
	}
	c, _ := newTestClient(t, f, func(cfg *Config) { cfg.ExtraRootsPEM = append(cfg.ExtraRootsPEM, ca...) })
	serve(&tls.Config{Certificates: []tls.Certificate{certificate}})
	mustFail(t, c, vaultKey("v_1", "key"), Untrusted)
	good, goodCA := testCertificate(t, testHost)
	c, _ = newTestClient(t, f, func(cfg *Config) { cfg.ExtraRootsPEM = goodCA })
	serve(&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11})
	mustFail(t, c, vaultKey("v_1", "key"), Unreachable)
}

func TestCheck4NothingIsTakenFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "https://evil.example", "AWS_ENDPOINT_URL_KMS": "https://evil.example", "AWS_REGION": "eu-west-1",
		"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "EVIL", "AWS_SECRET_ACCESS_KEY": "EVIL",
		"AWS_SESSION_TOKEN": "EVIL", "AWS_CA_BUNDLE": "/nonexistent", "SSL_CERT_FILE": "/nonexistent",
		"HTTPS_PROXY": "http://evil.example:1", "https_proxy": "http://evil.example:1", "AWS_USE_FIPS_ENDPOINT": "true",
		"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_PROFILE": "evil", "AWS_MAX_ATTEMPTS": "9",
	} {
		t.Setenv(name, value)
	}
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_1", "key"), "key") // the fake's dial refuses any other host
	if got := f.headers[0].Get("Authorization"); !strings.Contains(got, "AKIDTEST") || !strings.Contains(got, "/us-east-1/kms/") {
		t.Error("signed with other credentials, or for another region")
	}
}

func TestAmazonRootsHaveTheirPublishedFingerprints(t *testing.T) {
	want := map[string]bool{
		"8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e": true, // Amazon Root CA 1
		"1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4": true, // Amazon Root CA 2
		"18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4": true, // Amazon Root CA 3
		"e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092": true, // Amazon Root CA 4
		"568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5": true, // Starfield Services Root CA G2
	}
	rest := amazonRootsPEM
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		sum := sha256.Sum256(block.Bytes)
		if fingerprint := hex.EncodeToString(sum[:]); !want[fingerprint] {
			t.Errorf("a root of fingerprint %s", fingerprint)
		} else {
			delete(want, fingerprint)
		}
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestRequestsOutOfLimitsAreNotSent(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for name, change := range map[string]func(*keys.Request){
		"no ciphertext":       func(r *keys.Request) { r.Wrapped = nil },
		"ciphertext too long": func(r *keys.Request) { r.Wrapped = make([]byte, MaxWrapped+1) },
		"no vault id":         func(r *keys.Request) { r.VaultID = nil },
		"vault id too long":   func(r *keys.Request) { r.VaultID = make([]byte, maxVaultID+1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := vaultKey("v_1", "key")
			change(&r)
			mustFail(t, c, r, Invalid)
		})
	}
	if n := len(f.asked()); n != 0 {
		t.Errorf("%d were sent", n)
	}
}

func TestTheHMACKeyHasItsOwnContext(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	purpose := map[string]string{"purpose": "redoubt-hmac"}
	got, err := c.UnwrapHMACKey(t.Context(), testRegion, wrap(testARN, purpose, "hmac key"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if string(got.Bytes()) != "hmac key" {
		t.Error("opened to something else")
	}
	_, err = c.UnwrapHMACKey(t.Context(), testRegion, wrap(testARN, vaultContext("v_1"), "a vault's key"))
	checkFailure(t, err, Denied)
	_, err = c.UnwrapHMACKey(t.Context(), "eu-west-1", wrap(testARN, purpose, "hmac key"))
	checkFailure(t, err, Denied)
}

// TestDocumentsForKMSCarryTheRSAKeyAndNothingElse is half of SECURITY.md, check 12; the other half is that no caller ever gets
// a document with a key in it.
func TestDocumentsForKMSCarryTheRSAKeyAndNothingElse(t *testing.T) {
	f := newFakeKMS(t)
	c, module := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	made := module.made()
	if len(made) != 1 || made[0].Nonce != nil || made[0].UserData != nil {
		t.Fatalf("%d documents", len(made))
	}
	if !bytes.Equal(made[0].PublicKey, c.recipients.current.Load().spki) {
		t.Error("the document carries another key")
	}
}

// BenchmarkUnwrap is one Decrypt against the fake in this process, whose work (TLS, verifying the document, sealing
// the envelope) is in the figure.
func BenchmarkUnwrap(b *testing.B) {
	f := newFakeKMS(b)
	c, _ := newTestClient(b, f)
	r := vaultKey("v_1", "private key")
	b.ReportAllocs()
	for b.Loop() {
		mustUnwrap(b, c, r, "private key")
	}
}
