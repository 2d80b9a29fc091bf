package domain

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"redoubt/wire/kit/sealed"
)

var writeVectors = flag.Bool("write-vectors", false, "make testdata/more.json, whose encapsulated keys are random: for a new format only")

// count gives n bytes that count from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// TestMoreVectorsAreMade does nothing unless it is asked to.
func TestMoreVectorsAreMade(t *testing.T) {
	if !*writeVectors {
		return
	}
	const id, vault = "a-1._z.ff", "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"
	v := vectors{
		"domain": id, "generation": "65535", "created_ms": "18446744073709551615", "vault_id": vault,
		"arn":   "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
		"arn_2": "arn:aws-us-gov:kms:us-gov-west-1:444455556666:key/9876abcd-12ab-34cd-56ef-1234567890ab",
	}
	set := func(name string, b []byte) { v[name] = hex.EncodeToString(b) }
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	set("data_key", count(0x11, 32))
	set("data_key_2", count(0x31, 32))
	set("data_key_blob", count(0x51, 170))
	set("data_key_blob_2", count(0x52, 1))
	set("wrap_salt", count(0x71, 32))
	set("wrap_salt_2", count(0x91, 32))
	set("hardware", count(0xb1, 32))
	set("system", count(0xd1, 32))
	set("configuration", count(0xf1, 32))
	var ds [SecretSize]byte
	for n, name := range []string{"made_secret_1", "made_secret_2"} {
		keys := [][]byte{v.hex(t, "data_key"), v.hex(t, "data_key_2")}
		must(NewSecret(ds[:], v.hex(t, "hardware"), v.hex(t, "system"), keys[:n+1], id, 65535))
		set(name, ds[:])
	}
	set("domain_secret", ds[:]) // of two data keys
	suites := []sealed.Suite{sealed.P521, sealed.P256, sealed.P384, sealed.XWing}
	descriptor, err := Describe(ds[:], id, 65535, 1<<64-1, suites, []sealed.Suite{sealed.P256, sealed.P521})
	must(err)
	set("descriptor", descriptor)
	k, err := OpenKeys(descriptor, ds[:])
	must(err)
	defer k.Destroy()
	dh := k.Hash()
	set("dh", dh[:])
	for i, name := range keyNames {
		set("k_"+name, k.key(i))
	}
	for _, s := range []sealed.Suite{sealed.P256, sealed.P521} {
		ikm, raw := make([]byte, s.PrivateSize()), make([]byte, s.PrivateSize())
		expand(ikm, k.key(keyRequest), "request"+string([]byte{byte(s)}))
		must(sealed.KeyFrom(s, raw, ikm))
		set(fmt.Sprintf("request_sk_%d", s), raw)
	}
	record := Record{Descriptor: descriptor}
	for _, suffix := range []string{"", "_2"} {
		w, err := SealSecret(v.hex(t, "data_key"+suffix), [32]byte(v.hex(t, "wrap_salt"+suffix)), dh, v["arn"+suffix],
			v.hex(t, "data_key_blob"+suffix), ds[:])
		must(err)
		record.Wraps = append(record.Wraps, w)
	}
	out, err := record.Append(nil)
	must(err)
	set("domain_record", out)

	for s, epoch := range files["more.json"] {
		name := func(what string) string { return fmt.Sprintf("%s_%d", what, s) }
		kind := Made
		v[name("statement_kind")], v[name("epoch")] = "made", fmt.Sprint(epoch)
		if s == sealed.P384 || s == sealed.XWing {
			kind, v[name("statement_kind")] = Moved, "moved"
		}
		random := count(byte(16*s), 32)
		m, err := k.Mint(fixed(random, count(byte(7*s), 16)), kind, vault, s, epoch)
		must(err)
		set(name("seed_random"), random)
		set(name("wrapped_key"), m.Wrapped)
		set(name("statement_signature"), m.Statement[:])
		sum := Sum(m.Public)
		set(name("vault_pk_sha384"), sum[:])
		raw := make([]byte, s.PrivateSize())
		sk, err := k.Open(raw, vault, m.Wrapped)
		must(err)
		set(name("vault_sk"), raw)
		w, err := sealed.SealRefs(s, sk.Public(), vault, map[string][]byte{
			"dob": []byte("1990-12-10"), "ssn9": []byte("123456789"),
		})
		must(err)
		set(name("enc"), w.Enc)
		for field, b := range w.Fields {
			set(fmt.Sprintf("field_%s_%d", field, s), b)
		}
	}
	old, fresh := v.hashOf(t, sealed.P256), v.hashOf(t, sealed.P521)
	set("reseal_h_old", old[:])
	set("reseal_h_new", fresh[:])
	sig := k.SignReseal(old, fresh)
	set("reseal_signature", sig[:])

	set("kms_wrapped_key", bytes.Repeat(count(1, 250), 2))
	set("kms_enc_1", append([]byte{4}, count(2, 96)...))
	set("kms_ct_1", count(3, 25))
	set("kms_enc_2", append([]byte{4}, count(4, 96)...))
	set("kms_ct_2", count(5, 16))
	h, err := HashRecord(vault, v.hex(t, "kms_wrapped_key"), []SealedField{
		{"ssn", v.hex(t, "kms_enc_1"), v.hex(t, "kms_ct_1")}, {"dob", v.hex(t, "kms_enc_2"), v.hex(t, "kms_ct_2")},
	})
	must(err)
	set("kms_h", h[:])
	h, err = HashRecord(vault, v.hex(t, "kms_wrapped_key"), nil)
	must(err)
	set("kms_h_no_fields", h[:])
	digest := [32]byte(v.hex(t, "configuration"))
	set("created_user_data", CreatedUserData(digest, dh))
	set("opened_user_data", OpenedUserData(digest, dh))
	set("mac_input", MACInput(dh))

	text, err := json.MarshalIndent(v, "", " ")
	must(err)
	must(os.WriteFile("testdata/more.json", append(text, '\n'), 0o600))
}
