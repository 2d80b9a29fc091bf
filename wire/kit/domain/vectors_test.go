package domain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"

	"redoubt/wire/kit/sealed"
)

// vectors are hex, but for the few that are text.
type vectors map[string]string

func readVectors(t testing.TB, name string) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vectors) hex(t testing.TB, name string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v[name])
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: no hex", name)
	}
	return b
}

func (v vectors) number(t testing.TB, name string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(v[name], 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func (v vectors) same(t testing.TB, name string, got []byte) {
	t.Helper()
	if want := v.hex(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%x, want\n%x", name, got, want)
	}
}

// open derives the keys of the vectors' domain.
func (v vectors) open(t testing.TB) *Keys {
	t.Helper()
	k, err := OpenKeys(v.hex(t, "descriptor"), v.hex(t, "domain_secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

// fixed is a generator that gives the bytes of a vector, and nothing after them.
func fixed(parts ...[]byte) *bytes.Reader { return bytes.NewReader(bytes.Join(parts, nil)) }

// files are the vectors with the suites of their vault keys and the epochs of those.
var files = map[string]map[sealed.Suite]uint16{
	"vectors.json": {sealed.XWing: 1, sealed.P384: 2},
	"more.json":    {sealed.P256: 1, sealed.P521: 2, sealed.P384: 3, sealed.XWing: 65535},
}

func forVectors(t *testing.T, f func(t *testing.T, v vectors, suites map[sealed.Suite]uint16)) {
	for name, suites := range files {
		t.Run(name, func(t *testing.T) { f(t, readVectors(t, name), suites) })
	}
}

func TestDerivedKeysAreTheVectors(t *testing.T) {
	forVectors(t, func(t *testing.T, v vectors, _ map[sealed.Suite]uint16) {
		k := v.open(t)
		for i, name := range keyNames {
			v.same(t, "k_"+name, k.key(i))
		}
		h := k.Hash()
		v.same(t, "dh", h[:])
		for _, r := range k.Descriptor().Requests {
			sk, err := k.RequestKey(r.Suite)
			if err != nil {
				t.Fatal(err)
			}
			want, err := sealed.NewPrivateKey(r.Suite, v.hex(t, fmt.Sprintf("request_sk_%d", r.Suite)))
			if err != nil || !bytes.Equal(want.Public().AppendPoint(nil), sk.Public().AppendPoint(nil)) {
				t.Errorf("request key of %v: %v", r.Suite, err)
			}
		}
	})
}

func TestDescriptorAndRecordAreTheVectors(t *testing.T) {
	forVectors(t, func(t *testing.T, v vectors, _ map[sealed.Suite]uint16) {
		r, d, err := ParseRecord(v.hex(t, "domain_record"))
		if err != nil {
			t.Fatal(err)
		}
		if d.ID != v["domain"] || uint64(d.Generation) != v.number(t, "generation") || d.CreatedMS != v.number(t, "created_ms") {
			t.Errorf("%s, generation %d, of %d", d.ID, d.Generation, d.CreatedMS)
		}
		var requests []sealed.Suite
		for _, q := range d.Requests {
			requests = append(requests, q.Suite)
		}
		descriptor, err := Describe(v.hex(t, "domain_secret"), d.ID, d.Generation, d.CreatedMS, d.Suites, requests)
		if err != nil {
			t.Fatal(err)
		}
		v.same(t, "descriptor", descriptor)
		v.same(t, "descriptor", r.Descriptor)

		made := Record{Descriptor: descriptor}
		for i := range r.Wraps {
			suffix := ""
			if i > 0 {
				suffix = fmt.Sprintf("_%d", i+1)
			}
			var ds [SecretSize]byte
			dk := v.hex(t, "data_key"+suffix)
			if err := r.Wraps[i].Open(ds[:], dk, Sum(descriptor)); err != nil {
				t.Fatal(err)
			}
			v.same(t, "domain_secret", ds[:])
			w, err := SealSecret(dk, [SaltSize]byte(v.hex(t, "wrap_salt"+suffix)), Sum(descriptor), v["arn"+suffix],
				v.hex(t, "data_key_blob"+suffix), ds[:])
			if err != nil {
				t.Fatal(err)
			}
			made.Wraps = append(made.Wraps, w)
			if r.Find(v["arn"+suffix]) != &r.Wraps[i] {
				t.Error("the wrap is not found by its ARN")
			}
		}
		out, err := made.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		v.same(t, "domain_record", out)
	})
}

func TestVaultKeysAndStatementsAreTheVectors(t *testing.T) {
	forVectors(t, func(t *testing.T, v vectors, suites map[sealed.Suite]uint16) {
		k := v.open(t)
		id := v["vault_id"]
		for s, epoch := range suites {
			name := func(what string) string { return fmt.Sprintf("%s_%d", what, s) }
			wrapped := v.hex(t, name("wrapped_key"))
			kind := Made
			if v[name("statement_kind")] == "moved" {
				kind = Moved
			}
			m, err := k.Mint(fixed(v.hex(t, name("seed_random")), wrapped[6:22]), kind, id, s, epoch)
			if err != nil {
				t.Fatal(err)
			}
			v.same(t, name("wrapped_key"), m.Wrapped)
			v.same(t, name("statement_signature"), m.Statement[:])
			sum := Sum(m.Public)
			v.same(t, name("vault_pk_sha384"), sum[:])
			raw := make([]byte, s.PrivateSize())
			sk, err := k.Open(raw, id, wrapped)
			if err != nil {
				t.Fatal(err)
			}
			v.same(t, name("vault_sk"), raw)
			if err := VerifyKey(v.hex(t, "descriptor"), kind, id, wrapped, m.Public, m.Statement); err != nil {
				t.Error(err)
			}
			// A statement of one kind is none of the other.
			if err := VerifyKey(v.hex(t, "descriptor"), 1-kind, id, wrapped, m.Public, m.Statement); err != ErrStatement { //nolint:errorlint // as it stands
				t.Errorf("as the other kind: %v", err)
			}
			openFields(t, v, s, sk)
		}
	})
}

// openFields opens what was sealed to a vault key of the vectors.
func openFields(t *testing.T, v vectors, s sealed.Suite, sk *sealed.PrivateKey) {
	t.Helper()
	enc := v.hex(t, fmt.Sprintf("enc_%d", s))
	var mem [sealed.RecordSize]byte
	r, err := sk.DeriveRecord(mem[:], []byte(v["vault_id"]), enc)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"dob": "1990-12-10", "ssn9": "123456789"} {
		blob, err := sealed.JoinBlob(s, v.hex(t, fmt.Sprintf("field_%s_%d", name, s)), enc)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := r.Open(nil, []byte(name), blob); err != nil || string(plain) != want {
			t.Errorf("%s of %v: %v", name, s, err)
		}
	}
}

// hashOf is H of the record that the vectors have for a suite.
func (v vectors) hashOf(t testing.TB, s sealed.Suite) Hash {
	t.Helper()
	enc := v.hex(t, fmt.Sprintf("enc_%d", s))
	var fields []SealedField
	for _, name := range []string{"ssn9", "dob"} {
		_, ct, err := sealed.ParseRef(v.hex(t, fmt.Sprintf("field_%s_%d", name, s)))
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, SealedField{name, enc, ct})
	}
	h, err := HashRecord(v["vault_id"], v.hex(t, fmt.Sprintf("wrapped_key_%d", s)), fields)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestResealStatementIsTheVectors(t *testing.T) {
	for file, pair := range map[string][2]sealed.Suite{
		"vectors.json": {sealed.XWing, sealed.P384}, "more.json": {sealed.P256, sealed.P521},
	} {
		v := readVectors(t, file)
		k := v.open(t)
		old, fresh := v.hashOf(t, pair[0]), v.hashOf(t, pair[1])
		v.same(t, "reseal_h_old", old[:])
		v.same(t, "reseal_h_new", fresh[:])
		sig := k.SignReseal(old, fresh)
		v.same(t, "reseal_signature", sig[:])
		if err := k.Descriptor().VerifyReseal(k.Hash(), old, fresh, sig); err != nil {
			t.Error(err)
		}
	}
}

// The records of the reference's encodings, whose hash a migration signs.
func TestTheHashOfARecordOfKMSsKeysIsTheVector(t *testing.T) {
	v := readVectors(t, "more.json")
	fields := []SealedField{
		{"ssn", v.hex(t, "kms_enc_1"), v.hex(t, "kms_ct_1")},
		{"dob", v.hex(t, "kms_enc_2"), v.hex(t, "kms_ct_2")},
	}
	h, err := HashRecord(v["vault_id"], v.hex(t, "kms_wrapped_key"), fields)
	if err != nil {
		t.Fatal(err)
	}
	v.same(t, "kms_h", h[:])
	none, err := HashRecord(v["vault_id"], v.hex(t, "kms_wrapped_key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	v.same(t, "kms_h_no_fields", none[:])
}

func TestSecretAndAttestedDataAreTheVectors(t *testing.T) {
	v := readVectors(t, "more.json")
	var ds [SecretSize]byte
	for what, keys := range map[string][][]byte{
		"made_secret_1": {v.hex(t, "data_key")}, "made_secret_2": {v.hex(t, "data_key"), v.hex(t, "data_key_2")},
	} {
		if err := NewSecret(ds[:], v.hex(t, "hardware"), v.hex(t, "system"), keys, v["domain"],
			uint16(v.number(t, "generation"))); err != nil {
			t.Fatal(err)
		}
		v.same(t, what, ds[:])
	}
	dh := Hash(v.hex(t, "dh"))
	digest := [32]byte(v.hex(t, "configuration"))
	v.same(t, "created_user_data", CreatedUserData(digest, dh))
	v.same(t, "opened_user_data", OpenedUserData(digest, dh))
	v.same(t, "mac_input", MACInput(dh))
}

// The layout of a head, written out.
func TestHeadIsLaidOutAsTheDesignSays(t *testing.T) {
	v := readVectors(t, "vectors.json")
	wrapped := v.hex(t, "wrapped_key_4")
	h, err := ParseHead(wrapped)
	if err != nil || len(wrapped) != 102 {
		t.Fatalf("%d bytes, %v", len(wrapped), err)
	}
	if wrapped[0] != 0xD1 || h.Suite != sealed.XWing || h.Generation != binary.BigEndian.Uint16(wrapped[2:]) ||
		h.Epoch != 1 || !bytes.Equal(h.Salt[:], wrapped[6:22]) || !bytes.Equal(h.Public[:], wrapped[22:54]) {
		t.Error("the parts are not where they belong")
	}
	if again := h.append(nil); !bytes.Equal(again, wrapped[:HeadSize]) {
		t.Error("not the same when written again")
	}
}

// circl signs and crypto/ed25519 verifies; the two agree on signatures as well.
func TestSignaturesAreThoseOfTheStandardLibrary(t *testing.T) {
	k := readVectors(t, "vectors.json").open(t)
	std := ed25519.NewKeyFromSeed(bytes.Clone(k.signer()[:32]))
	if !bytes.Equal(std, k.signer()) {
		t.Fatal("the keys differ")
	}
	for _, message := range []string{"", "a", "redoubt"} {
		sig := k.sign([]byte(message))
		if !bytes.Equal(sig[:], ed25519.Sign(std, []byte(message))) {
			t.Error("the signatures differ")
		}
	}
}
