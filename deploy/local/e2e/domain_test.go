package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/goccy/go-yaml"

	"redoubt/deploy/local/testkit"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// domainRig is a stack whose enclave makes domains, and moves vaults with keys of KMS's into them.
type domainRig struct {
	*rig
	t *testing.T
}

func startDomains(t *testing.T) *domainRig {
	t.Helper()
	rules := []map[string]any{{"ids": "acme*", "creations_per_hour": 10}}
	r := &domainRig{rig: own(t, func(o *testkit.Options) {
		o.EnclaveConfig = map[string]any{"domains": map[string]any{"rules": rules}}
	}), t: t}
	// The ARN of the key is known now.
	r.restartEnclave(map[string]any{
		"rules": rules, "kms_vaults": []map[string]string{{"key": r.KeyARN, "ids": "acme*"}},
	})
	return r
}

// restartEnclave starts it anew with these domains, so that it has opened none. nil: those of before.
func (r *domainRig) restartEnclave(domains map[string]any) {
	r.t.Helper()
	file := filepath.Join(r.state, "enclave.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(text, &config); err != nil {
		r.t.Fatal(err)
	}
	if domains != nil {
		config["domains"] = domains
	}
	if text, err = yaml.Marshal(config); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.Process(testkit.Enclave).Kill()
	if err := r.Restart(testkit.Enclave); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the enclave is back", time.Minute, func() bool { return r.ParentReady(ctx) == nil })
}

// call posts to a route of the parent, and returns what it answers with this status.
func call[T any](r *domainRig, route string, body any, status int) (out T) {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.client.Post("http://"+r.Addresses.Parent+route, "application/json", bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil || resp.StatusCode != status {
		r.t.Fatalf("%s: %d %s, want %d", route, resp.StatusCode, raw, status)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

type (
	decrypted struct {
		Fields map[string]string `json:"fields"`
	}
	refused struct {
		Code   string   `json:"code"`
		Domain string   `json:"domain"`
		Fields []string `json:"fields"`
	}
)

// made is a generation of a domain as the API would keep it.
type made struct {
	record []byte
	desc   *domain.Descriptor
	hash   domain.Hash
}

func (m *made) name() string { return hex.EncodeToString(m.hash[:wire.DomainNameSize]) }

// create makes a generation of a domain, and checks the enclave's document as the API does.
func (r *domainRig) create(generation uint16) *made {
	r.t.Helper()
	key, err := r.kms.GenerateDataKeyWithoutPlaintext(ctx, &awskms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: &r.KeyARN, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{
			"redoubt:domain": "acme", "redoubt:gen": strconv.Itoa(int(generation)),
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	nonce := make([]byte, 32)
	if _, err := rand.Read(nonce); err != nil {
		r.t.Fatal(err)
	}
	ask := parentapi.CreateDomain{
		ID: "acme", Generation: generation, Suites: []string{"X-Wing", "P-384"}, Nonce: nonce,
		DataKeys: []parentapi.DataKey{{KeyARN: r.KeyARN, Ciphertext: key.CiphertextBlob}},
	}
	out := call[parentapi.CreatedDomain](r, parentapi.PathDomains, ask, http.StatusOK)
	rec, desc, err := domain.ParseRecord(out.Record)
	if err != nil {
		r.t.Fatal(err)
	}
	m := &made{record: out.Record, desc: desc, hash: domain.Sum(rec.Descriptor)}
	if desc.ID != "acme" || desc.Generation != generation || desc.Default() != sealed.XWing {
		r.t.Errorf("%+v", desc)
	}
	r.attested(out.Attestation, nonce, m.hash)
	opened := call[parentapi.WrappedDomain](r, parentapi.PathDomainWrap, parentapi.WrapDomain{Record: m.record}, http.StatusOK)
	if !bytes.Equal(opened.Record, m.record) {
		r.t.Error("opening alone changed the record")
	}
	return m
}

// attested checks that the enclave made the domain with this hash, now.
func (r *domainRig) attested(document, nonce []byte, hash domain.Hash) {
	r.t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.state, "nsm-root.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	root, err := attest.ParseRoot(pem)
	if err != nil {
		r.t.Fatal(err)
	}
	pcr0, err := attest.ParseMeasurement(r.PCRs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	doc, err := attest.Verify(document, attest.Options{
		Roots: []attest.Root{root}, Allowed: []attest.PCRs{{0: pcr0}}, Nonce: attest.Equal(nonce), UserData: attest.Any(),
		PublicKey: attest.Absent(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	want := domain.CreatedUserData([32]byte{}, hash)
	got := doc.UserData
	if len(got) != len(want) || !bytes.HasSuffix(got, hash[:]) || !bytes.HasPrefix(got, want[:len(want)-len(hash)-32]) {
		r.t.Errorf("user data %x", got)
	}
}

// sealUnder seals a person's values to a new key that the enclave minted in the domain, and verifies that it did.
func (r *domainRig) sealUnder(m *made, values map[string]string) *parentapi.Request[[]byte] {
	r.t.Helper()
	ask := parentapi.Mint{Domain: m.name(), Count: 2, DomainRecords: [][]byte{m.record}}
	keys := call[parentapi.Minted](r, parentapi.PathVaultKeys, ask, http.StatusOK).Keys
	if len(keys) != 2 || keys[0].VaultID == keys[1].VaultID {
		r.t.Fatalf("%d keys", len(keys))
	}
	k := keys[1]
	err := m.desc.VerifyKey(m.hash, domain.Made, k.VaultID, k.WrappedKey, k.PublicKey, [domain.SignatureSize]byte(k.Statement))
	if err != nil {
		r.t.Fatal(err)
	}
	public, err := sealed.NewPublicKey(sealed.XWing, k.PublicKey)
	if err != nil {
		r.t.Fatal(err)
	}
	w, err := sealed.SealRefs(sealed.XWing, public, k.VaultID, plain(values))
	if err != nil {
		r.t.Fatal(err)
	}
	id := sealed.XWing.ID()
	encs := map[string][]byte{}
	if len(values) > 0 {
		encs[refText(w.Enc)] = w.Enc
	}
	return &parentapi.Request[[]byte]{
		VaultID: k.VaultID, SuiteID: id[:], WrappedKey: k.WrappedKey, Encoding: "4", Domain: m.name(), Fields: w.Fields,
		Encs: encs,
	}
}

func refText(enc []byte) string {
	ref := sealed.RefOf(enc)
	return hex.EncodeToString(ref[:])
}

func plain(values map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for name, v := range values {
		out[name] = []byte(v)
	}
	return out
}

// reads demands that a vault opens: without its domain's record only if the enclave has opened it.
func (r *domainRig) reads(vault *parentapi.Request[[]byte], m *made, cold bool, want map[string]string) {
	r.t.Helper()
	vault.DomainRecords = nil
	if cold {
		if got := call[refused](r, parentapi.PathV1Decrypt, vault, http.StatusMisdirectedRequest); got.Code != "domain_unknown" ||
			got.Domain != m.name() {
			r.t.Errorf("%+v", got)
		}
		vault.DomainRecords = [][]byte{m.record}
	}
	got := call[decrypted](r, parentapi.PathV1Decrypt, vault, http.StatusOK)
	if !maps.Equal(got.Fields, want) {
		r.t.Errorf("%v, want %v", got.Fields, want)
	}
}

// reseal moves a vault to a domain, and verifies the enclave's statements as the API does.
func (r *domainRig) reseal(
	old *parentapi.Request[[]byte], fields []domain.SealedField, to *made, kind domain.Kind, records ...[]byte,
) *parentapi.Request[[]byte] {
	r.t.Helper()
	old.DomainRecords = records
	out := call[parentapi.Resealed](r, parentapi.PathReseal, parentapi.Reseal{Old: old, To: to.name(), Epoch: 2}, http.StatusOK)
	k := out.Key
	if err := to.desc.VerifyKey(to.hash, kind, old.VaultID, k.WrappedKey, k.PublicKey, [domain.SignatureSize]byte(k.Statement)); err != nil {
		r.t.Error(err)
	}
	var enc []byte
	for _, enc = range out.Encs {
	}
	fresh, err := domain.Fields(sealed.Write{Enc: enc, Fields: out.Fields})
	if err != nil {
		r.t.Fatal(err)
	}
	before, err := domain.HashRecord(old.VaultID, old.WrappedKey, fields)
	if err != nil {
		r.t.Fatal(err)
	}
	after, err := domain.HashRecord(old.VaultID, k.WrappedKey, fresh)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := to.desc.VerifyReseal(to.hash, before, after, [domain.SignatureSize]byte(out.Statement)); err != nil {
		r.t.Error(err)
	}
	id := sealed.XWing.ID()
	return &parentapi.Request[[]byte]{
		VaultID: old.VaultID, SuiteID: id[:], WrappedKey: k.WrappedKey, Encoding: "4", Domain: to.name(), Fields: out.Fields,
		Encs: out.Encs,
	}
}

func fieldsOf(t *testing.T, r *parentapi.Request[[]byte]) []domain.SealedField {
	t.Helper()
	var enc []byte
	for _, enc = range r.Encs {
	}
	fields, err := domain.Fields(sealed.Write{Enc: enc, Fields: r.Fields})
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// A domain's life by the parent's routes, over the real programs: made, minted in, sealed to, read cold and hot, its
// vault moved to the next generation, and read again. None of it is a call to KMS but the openings.
func TestADomainIsMadeMintedInReadAndResealed(t *testing.T) {
	r := startDomains(t)
	first := r.create(1)
	values := map[string]string{"ssn": sentinel + "-123", "name": sentinel + " Ada"}
	vault := r.sealUnder(first, values)
	r.reads(vault, first, false, values)
	r.restartEnclave(nil)
	r.reads(vault, first, true, values)
	r.reads(vault, first, false, values)

	second := r.create(2)
	r.restartEnclave(nil)
	moved := r.reseal(vault, fieldsOf(t, vault), second, domain.Made, first.record, second.record)
	r.reads(moved, second, false, values)
	r.restartEnclave(nil)
	r.reads(moved, second, true, values)
	r.reads(vault, first, true, values) // until its generation is denied

	// A vault without fields has a key to move all the same.
	empty := r.sealUnder(first, nil)
	if left := r.reseal(empty, nil, second, domain.Made, first.record, second.record); len(left.Encs)+len(left.Fields) != 0 {
		t.Errorf("%d encapsulated keys, %d fields", len(left.Encs), len(left.Fields))
	}

	// A damaged field keeps the vault where it is, and is named.
	for name, blob := range vault.Fields {
		vault.Fields[name] = slices.Clone(blob)
	}
	vault.Fields["ssn"][len(vault.Fields["ssn"])-1] ^= 1
	got := call[refused](r, parentapi.PathReseal, parentapi.Reseal{Old: vault, To: second.name(), Epoch: 3}, http.StatusUnprocessableEntity)
	if got.Code != "decrypt_failed" || !slices.Equal(got.Fields, []string{"ssn"}) {
		t.Errorf("%+v", got)
	}
}

// A vault whose key KMS made moves into a domain that the enclave's file allows for it.
func TestAVaultWithAKeyOfKMSMovesIntoADomain(t *testing.T) {
	r := startDomains(t)
	to := r.create(1)
	values := map[string]string{"ssn": sentinel + "-9", "name": sentinel}
	rec := r.seal(t, testkit.RecordOptions{VaultID: "v_old", Context: true, Encoding: sealed.EncodingRecord, Fields: values})
	body, err := json.Marshal(rec.Request(nil))
	if err != nil {
		t.Fatal(err)
	}
	var old parentapi.Request[[]byte]
	if err := json.Unmarshal(body, &old); err != nil {
		t.Fatal(err)
	}
	var fields []domain.SealedField
	for name, raw := range old.Fields {
		b, err := sealed.ParseBlob(sealed.P384, sealed.EncodingRecord, raw)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, domain.SealedField{Name: name, Enc: b.Enc, CT: b.CT})
	}
	moved := r.reseal(&old, fields, to, domain.Moved, to.record)
	r.reads(moved, to, false, values)
}

// What the measured file does not allow is refused, and a record that nobody can open is not a refused vault.
func TestDomainsThatTheFileDoesNotAllowAreRefused(t *testing.T) {
	r := startDomains(t)
	m := r.create(1)
	ask := parentapi.CreateDomain{
		ID: "other", Generation: 1, Suites: []string{"X-Wing"}, Nonce: make([]byte, 32),
		DataKeys: []parentapi.DataKey{{KeyARN: r.KeyARN, Ciphertext: []byte("blob")}},
	}
	if got := call[refused](r, parentapi.PathDomains, ask, http.StatusForbidden); got.Code != "key_denied" {
		t.Errorf("another domain: %+v", got)
	}
	vault := r.sealUnder(m, map[string]string{"ssn": sentinel})
	r.restartEnclave(nil)
	broken := slices.Clone(m.record)
	broken[len(broken)-1] ^= 1 // of the wrapped secret
	vault.DomainRecords = [][]byte{broken}
	if got := call[refused](r, parentapi.PathV1Decrypt, vault, http.StatusBadRequest); got.Code != "domain_record_refused" {
		t.Errorf("a damaged record: %+v", got)
	}
	r.reads(vault, m, true, map[string]string{"ssn": sentinel})
	if log := r.log.String(); strings.Contains(log, hex.EncodeToString(vault.WrappedKey)) {
		t.Error("a wrapped key is logged")
	}
}
