//go:build dev

package enclaved

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/enclave/internal/config"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

// dataKey is KMS's for a generation of a domain.
func (r *rig) dataKey(id string, generation uint16) wire.DataKey {
	r.t.Helper()
	out, err := r.kms.GenerateDataKeyWithoutPlaintext(r.t.Context(), &awskms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: aws.String(kms.AliasSymmetric), NumberOfBytes: aws.Int32(domain.DataKeySize),
		EncryptionContext: map[string]string{"redoubt:domain": id, "redoubt:gen": strconv.Itoa(int(generation))},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return wire.DataKey{ARN: []byte(aws.ToString(out.KeyId)), Ciphertext: out.CiphertextBlob}
}

// askFor sends a request of any kind and decodes the answer. The code is that of an error.
func (r *rig) askFor(kind wire.Kind, body []byte, answer interface{ Decode(b []byte) error }) wire.Code {
	r.t.Helper()
	call := r.client.NewCall()
	defer call.Release()
	call.Kind, call.Body, call.Deadline = kind, append(call.Body, body...), time.Now().Add(30*time.Second)
	err := r.client.Do(context.Background(), call)
	var coded *wire.Error
	switch {
	case errors.As(err, &coded):
		return coded.Code
	case err != nil || call.AnswerKind != kind+1:
		r.t.Fatalf("kind %d: %v, answer of kind %d", kind, err, call.AnswerKind)
	}
	if err := answer.Decode(bytes.Clone(call.Answer)); err != nil {
		r.t.Fatal(err)
	}
	return wire.OK
}

// document is what an attestation document must be of this enclave.
func (r *rig) document(doc, userData, nonce []byte) {
	r.t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.dir, "root.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	root, err := attest.ParseRoot(pem)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := attest.Verify(doc, attest.Options{
		Roots: []attest.Root{root}, UncheckedPCRs: true, Nonce: attest.Equal(nonce), UserData: attest.Equal(userData),
	}); err != nil {
		r.t.Error(err)
	}
}

// TestADomainFromItsCreationToAReseal is the life of a domain in an enclave process, with the KMS stand-in: what the
// configuration file says is what the enclave does.
func TestADomainFromItsCreationToAReseal(t *testing.T) {
	r := newRig(t, `domains:
  rules:
    - {ids: 'acme.*', creations_per_hour: 4, suites: [X-Wing, P-384]}
    - {ids: 'read', lowest_generation: 2}
  kms_vaults: [{key: KEY_ARN, ids: 'acme.*'}]
`)
	cfg, err := config.Load(filepath.Join(r.dir, "enclave.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(cfg.KMS.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	nonce := bytes.Repeat([]byte{7}, 32)
	creation := func(id string, suites ...byte) *wire.CreateDomainRequest {
		return &wire.CreateDomainRequest{
			ID: []byte(id), Generation: 1, Suites: suites, DataKeys: []wire.DataKey{r.dataKey(id, 1)}, Nonce: nonce,
		}
	}
	var created wire.CreateDomainResponse
	for id, want := range map[string]wire.Code{"read": wire.KeyDenied, "acme": wire.KeyDenied} {
		if code := r.askFor(wire.KindCreateDomain, creation(id, 4).Append(nil), &created); code != want {
			t.Errorf("%s: %v, want %v", id, code, want)
		}
	}
	if code := r.askFor(wire.KindCreateDomain, creation("acme.a", 4, 1).Append(nil), &created); code != wire.KeyDenied {
		t.Errorf("a suite that the file denies: %v", code)
	}
	if code := r.askFor(wire.KindCreateDomain, creation("acme.a", 4, 2).Append(nil), &created); code != wire.OK {
		t.Fatal(code)
	}
	rec, desc, err := domain.ParseRecord(created.Record)
	if err != nil {
		t.Fatal(err)
	}
	hash := domain.Sum(rec.Descriptor)
	r.document(created.Document, domain.CreatedUserData(digest(cfg.Commitment(ca)), hash), nonce)

	var wrapped wire.WrapDomainResponse
	check := wire.WrapDomainRequest{Record: created.Record}
	if code := r.askFor(wire.KindWrapDomain, check.Append(nil), &wrapped); code != wire.OK ||
		!bytes.Equal(wrapped.Record, created.Record) {
		t.Errorf("a check of the record: %v", code)
	}
	if err := r.client.OpenDomain(t.Context(), created.Record); err != nil {
		t.Fatal(err)
	}
	var minted wire.MintResponse
	mint := wire.MintRequest{Domain: hash[:wire.DomainNameSize], Count: 2}
	if code := r.askFor(wire.KindMint, mint.Append(nil), &minted); code != wire.OK {
		t.Fatal(code)
	}
	for _, m := range minted.Keys {
		if err := desc.VerifyKey(hash, domain.Made, string(m.VaultID), m.Key.Wrapped, m.Key.Public,
			[domain.SignatureSize]byte(m.Key.Statement)); err != nil {
			t.Error(err)
		}
	}

	// A vault with a key of KMS's moves into the domain, and is read there.
	pair := r.keyPair("v_old")
	fields := map[string][]byte{"ssn": []byte("123456789")}
	q := pair.request(t, sealed.EncodingRecord, fields)
	var moved wire.ResealResponse
	reseal := wire.ResealRequest{To: hash[:wire.DomainNameSize], Epoch: 1, Old: *q}
	if code := r.askFor(wire.KindReseal, reseal.Append(nil), &moved); code != wire.OK || moved.Code != wire.OK {
		t.Fatal(code, moved.Code)
	}
	n := &wire.DecryptRequest{
		VaultID: q.VaultID, Suite: uint8(sealed.XWing), Encoding: 4, WrappedKey: moved.Key.Wrapped,
		Domain: hash[:wire.DomainNameSize], Encs: [][]byte{moved.Enc},
	}
	n.AddField([]byte("ssn"), moved.Fields[0])
	if err := ask(r.client, n, fields); err != nil {
		t.Error(err)
	}
	for id, want := range map[wire.StatID]int64{
		wire.StatDomainsCreated: 1, wire.StatDomainWrapsChecked: 1, wire.StatVaultKeysMinted: 2, wire.StatResealedFromKMS: 1,
		wire.StatDomainWritesRefused: 3, wire.StatDomainWritesFailed: 0, wire.StatVaultsOpened: 1, wire.StatPanics: 0,
	} {
		if got := r.gauge(id); got != want {
			t.Errorf("%s %s: %d, want %d", id.Info().Family, id.Info().Value, got, want)
		}
	}

	// The rule's creations are used up.
	for i := range 4 {
		want := wire.OK
		if i == 3 {
			want = wire.Overloaded
		}
		if code := r.askFor(wire.KindCreateDomain, creation("acme.b", 4).Append(nil), &created); code != want {
			t.Errorf("creation %d: %v, want %v", i+2, code, want)
		}
	}
}
