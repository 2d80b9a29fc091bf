package kms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

func decryptWith(r *rig, blob, doc []byte) error {
	_, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, Recipient: recipientInfo(doc)})
	return err
}

func TestABrokenAttestationDocumentIsRefused(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	stranger, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	notRSA, _ := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	weak := mustSPKI(t, 1024)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for _, tt := range []struct {
		name string
		edit func(*attesttest.Spec)
		text string
	}{
		{"signature", func(s *attesttest.Spec) { s.EditSignature = flip }, "bad signature"},
		{"broken bundle", func(s *attesttest.Spec) {
			s.EditPayload = func(m map[string]any) { m["cabundle"] = m["cabundle"].([][]byte)[:2] }
		}, "chain"},
		{"early", func(s *attesttest.Spec) { s.Time = time.Now().Add(2 * time.Minute) }, "time window"},
		{"late", func(s *attesttest.Spec) { s.Time = time.Now().Add(-6 * time.Minute) }, ""},
		{"debug mode", func(s *attesttest.Spec) { s.PCRs = attest.PCRs{0: {}, 1: {1}} }, "debug"},
		{"no PCR0", func(s *attesttest.Spec) { s.PCRs = attest.PCRs{1: {1}} }, "debug"},
		{"a nonce", func(s *attesttest.Spec) { s.Nonce = []byte("12345678") }, "nonce"},
		{"no public key", func(s *attesttest.Spec) { s.PublicKey = nil }, "public key"},
		{"an EC key", func(s *attesttest.Spec) { s.PublicKey = notRSA }, "RSA"},
		{"a weak RSA key", func(s *attesttest.Spec) { s.PublicKey = weak }, "RSA"},
		{"a key that does not parse", func(s *attesttest.Spec) { s.PublicKey = []byte("key") }, "RSA"},
		{"another algorithm", func(s *attesttest.Spec) { s.Protected = []byte{0xa1, 0x01, 0x26} }, "algorithm"},
		{"another digest", func(s *attesttest.Spec) { s.EditPayload = func(m map[string]any) { m["digest"] = "SHA256" } }, "algorithm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := decryptWith(r, blob, r.document(tt.edit))
			wantCode(t, err, "ValidationException")
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v does not name %q", err, tt.text)
			}
		})
	}
	foreign, err := stranger.Issue(attesttest.Spec{PublicKey: r.spki()})
	if err != nil {
		t.Fatal(err)
	}
	genuine := r.document()
	unsigned, err := r.authority.Unsigned(attesttest.Spec{PublicKey: r.spki()})
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string][]byte{
		"another root": foreign, "truncated": genuine[:len(genuine)-1], "trailing": append(bytes.Clone(genuine), 0),
		"empty": {}, "text": []byte("document"), "unsigned": unsigned,
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, decryptWith(r, blob, doc), "ValidationException") })
	}
	if err := decryptWith(r, blob, genuine); err != nil {
		t.Fatal(err)
	}
	if err := decryptWith(r, blob, genuine); err != nil {
		t.Fatalf("a document for KMS may be used again within its time: %v", err)
	}
}

func mustSPKI(t *testing.T, bits int) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestWithoutARootNoDocumentIsAccepted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AttestationRoots = nil })
	wantCode(t, decryptWith(r, r.wrap([]byte("secret"), nil), r.document()), "ValidationException")
}

func TestUnsignedDocumentsPassOnlyWithTheSwitch(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AcceptUnsignedAttestation = true })
	blob := r.wrap([]byte("secret"), nil)
	unsigned := func(spec attesttest.Spec) []byte {
		doc, err := r.authority.Unsigned(spec)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	if err := decryptWith(r, blob, unsigned(attesttest.Spec{PublicKey: r.spki()})); err != nil {
		t.Fatal(err)
	}
	if err := decryptWith(r, blob, r.document()); err != nil {
		t.Fatalf("a signed document was refused: %v", err)
	}
	late := attesttest.Spec{PublicKey: r.spki(), Time: time.Now().Add(-6 * time.Minute)}
	wantCode(t, decryptWith(r, blob, unsigned(late)), "ValidationException")
	bad := r.document(func(s *attesttest.Spec) { s.EditSignature = func(b []byte) []byte { b[0] ^= 1; return b } })
	wantCode(t, decryptWith(r, blob, bad), "ValidationException")
	// The policy judges unsigned measurements too: no PCR0, so the default policy does not apply.
	wantCode(t, decryptWith(r, blob, unsigned(attesttest.Spec{PublicKey: r.spki(), PCRs: attest.PCRs{16: {1}}})),
		"AccessDeniedException")
}

func TestTheKeyEncryptionAlgorithmIsTheOneKMSHas(t *testing.T) {
	r := newRig(t)
	in := recipientInfo(r.document())
	in.KeyEncryptionAlgorithm = "RSAES_PKCS1_V1_5"
	_, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: r.wrap([]byte("x"), nil), Recipient: in})
	wantCode(t, err, "ValidationException")
}

func TestARememberedDocumentEndsWithItsTime(t *testing.T) {
	var mu sync.Mutex
	offset := time.Duration(0)
	r := newRig(t, func(c *Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(offset) }
	})
	move := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); offset = d }
	blob, doc := r.wrap([]byte("secret"), nil), r.document()
	call := func(doc []byte) error {
		_, err := operations["Decrypt"](&call{Server: r.Server, ctx: ctx, operation: "Decrypt"}, mustJSON(t, map[string]any{
			"CiphertextBlob": blob,
			"Recipient":      map[string]any{"AttestationDocument": doc, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
		}))
		return err
	}
	for _, tt := range []struct {
		at time.Duration
		ok bool
	}{{0, true}, {4 * time.Minute, true}, {5*time.Minute + 5*time.Second, false}, {0, true}, {-2 * time.Minute, false}} {
		move(tt.at)
		if err := call(doc); (err == nil) != tt.ok {
			t.Errorf("at %v: %v", tt.at, err)
		}
	}
	move(0)
	if err := call(doc); err != nil {
		t.Fatal(err)
	}
	for i := range doc { // each other document is verified for itself
		if i%97 != 0 {
			continue
		}
		bent := bytes.Clone(doc)
		bent[i] ^= 1
		if err := call(bent); err == nil {
			t.Errorf("byte %d is not looked at", i)
		}
	}
	for range 2 * maxVerified {
		if err := call(r.document()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.verified.m); n > maxVerified {
		t.Errorf("%d documents are kept", n)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
