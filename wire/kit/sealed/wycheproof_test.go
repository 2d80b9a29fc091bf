package sealed

import (
	"bytes"
	"crypto/hkdf"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/cloudflare/circl/hpke"
)

// wycheproof is one of the Wycheproof project's tests; testdata/wycheproof/make.py says which there are.
type wycheproof struct {
	ID      int      `json:"tcId"`
	Comment string   `json:"comment"`
	Flags   []string `json:"flags"`
	Result  string   `json:"result"` // valid, invalid, or acceptable: then as the implementation likes, if consistent

	Public  hexBytes `json:"public"`
	Private hexBytes `json:"private"`
	Shared  hexBytes `json:"shared"`

	Key hexBytes `json:"key"`
	IV  hexBytes `json:"iv"`
	AAD hexBytes `json:"aad"`
	Msg hexBytes `json:"msg"`
	CT  hexBytes `json:"ct"`
	Tag hexBytes `json:"tag"`

	IKM  hexBytes `json:"ikm"`
	Salt hexBytes `json:"salt"`
	Info hexBytes `json:"info"`
	Size int      `json:"size"`
	OKM  hexBytes `json:"okm"`
}

func wycheproofTests(t *testing.T, name string, least int) []wycheproof {
	t.Helper()
	raw, err := os.ReadFile("testdata/wycheproof/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []wycheproof `json:"tests"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Tests) < least {
		t.Fatalf("%d tests, want %d", len(file.Tests), least)
	}
	return file.Tests
}

// scalars are our keys of the tests' scalars, each parsed once: few belong to many tests.
type scalars map[string]*PrivateKey

// get makes a key as a KMS answer would.
func (m scalars) get(t *testing.T, s Suite, w *wycheproof) *PrivateKey {
	t.Helper()
	if sk := m[string(w.Private)]; sk != nil {
		return sk
	}
	der, err := asn1.Marshal(struct {
		Version int
		Scalar  []byte
		Curve   asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	}{1, w.Private, s.params().oid})
	if err != nil {
		t.Fatal(err)
	}
	sk, err := ParsePrivateKey(s, der)
	if err != nil {
		t.Fatalf("%d: private key: %v", w.ID, err)
	}
	m[string(w.Private)] = sk
	return sk
}

// wantContext is the context that follows from a test's shared secret: sections 4.1 and 5.1 of RFC 9180, with no code
// of this package or circl's.
func (w *wycheproof) wantContext(t *testing.T, sk *PrivateKey, enc, info []byte) []byte {
	t.Helper()
	p := sk.Suite().params()
	extract := func(suite, salt []byte, label string, ikm []byte) []byte {
		prk, err := hkdf.Extract(p.hash, slices.Concat([]byte("HPKE-v1"), suite, []byte(label), ikm), salt)
		if err != nil {
			t.Fatal(err)
		}
		return prk
	}
	expand := func(suite, prk []byte, label string, info []byte, n int) []byte {
		labeled := binary.BigEndian.AppendUint16(nil, uint16(n))
		labeled = slices.Concat(labeled, []byte("HPKE-v1"), suite, []byte(label), info)
		out, err := hkdf.Expand(p.hash, prk, string(labeled), n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kem, id := append([]byte("KEM"), p.id[4:6]...), p.id[:]
	both := sk.Public().AppendPoint(bytes.Clone(enc))
	shared := expand(kem, extract(kem, nil, "eae_prk", w.Shared), "shared_secret", both, p.nh)
	context := slices.Concat([]byte{0}, extract(id, nil, "psk_id_hash", nil), extract(id, nil, "info_hash", info))
	prk := extract(id, shared, "secret", nil)
	mem := make([]byte, ContextSize)
	copy(mem, expand(id, prk, "key", context, keySize))
	copy(mem[keySize:], expand(id, prk, "base_nonce", context, nonceSize))
	copy(mem[keySize+nonceSize:], expand(id, prk, "exp", context, p.nh))
	return mem
}

// agrees reports whether deriving a context with the encapsulated key enc succeeds, and checks what comes of it.
func (w *wycheproof) agrees(t *testing.T, sk *PrivateKey, enc []byte) bool {
	t.Helper()
	info := []byte("v_1")
	mem := make([]byte, ContextSize)
	if _, err := sk.Derive(mem, info, enc); err != nil {
		if err != ErrOpen || !bytes.Equal(mem, make([]byte, ContextSize)) { //nolint:errorlint // exact
			t.Errorf("%d (%s): %v, or something was left in memory", w.ID, w.Comment, err)
		}
		return false
	}
	if !bytes.Equal(mem, w.wantContext(t, sk, enc, info)) {
		t.Errorf("%d (%s): the context does not follow from the shared secret", w.ID, w.Comment)
	}
	return true
}

// SECURITY.md, check 21: an encapsulated key is taken as Wycheproof says, and gives the secret it says. Compressed
// points, which are left to the implementation, are no encapsulated keys.
func TestWycheproofPointsAgreeAsStated(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		t.Parallel()
		keys := scalars{}
		for _, w := range wycheproofTests(t, "ecdh-point-"+s.String(), 350) {
			if got := w.agrees(t, keys.get(t, s, &w), w.Public); got != (w.Result == "valid") {
				t.Errorf("%d (%s), %s: taken %v", w.ID, w.Comment, w.Result, got)
			}
		}
	})
}

// SECURITY.md, check 21, of public keys: an invalid one is refused, and one that is taken, whatever its form, stands
// for the point that gives the stated secret.
func TestWycheproofPublicKeysAreReadAsStated(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		t.Parallel()
		keys := scalars{}
		for _, w := range wycheproofTests(t, "ecdh-spki-"+s.String(), 270) {
			pk, err := ParsePublicKey(s, w.Public)
			if taken := err == nil; taken != (w.Result == "valid") && w.Result != "acceptable" {
				t.Errorf("%d (%s), %s: taken %v", w.ID, w.Comment, w.Result, taken)
			}
			if err == nil && !w.agrees(t, keys.get(t, s, &w), pk.AppendPoint(nil)) {
				t.Errorf("%d (%s): a key that was taken gives no secret", w.ID, w.Comment)
			}
		}
	})
}

func TestWycheproofAESGCMOpensAndSealsAsStated(t *testing.T) {
	for _, w := range wycheproofTests(t, "aes-256-gcm", 60) {
		whole := slices.Concat(w.CT, w.Tag)
		c := NewCipher(make([]byte, CipherSize))
		plain, err := openAEAD(c, nil, w.Key, w.IV, whole, w.AAD)
		if w.Result != "valid" {
			if err != ErrOpen || len(plain) != 0 { //nolint:errorlint // exact
				t.Errorf("%d (%s): opened, or another error: %v", w.ID, w.Comment, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(plain, w.Msg) {
			t.Errorf("%d (%s): %v", w.ID, w.Comment, err)
		}
		if again, err := c.open(nil, whole, w.AAD); err != nil || !bytes.Equal(again, w.Msg) {
			t.Errorf("%d (%s), set up already: %v", w.ID, w.Comment, err)
		}
		if got, err := sealAEAD(nil, w.Key, w.IV, w.Msg, w.AAD); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%d (%s): sealed to something else: %v", w.ID, w.Comment, err)
		}
	}
}

// The two implementations in use: ours opens, circl's seals.
func TestWycheproofHKDFDerivesAsStated(t *testing.T) {
	kdfs := map[Suite]hpke.KDF{P256: hpke.KDF_HKDF_SHA256, P384: hpke.KDF_HKDF_SHA384, P521: hpke.KDF_HKDF_SHA512}
	forSuites(t, func(t *testing.T, s Suite) {
		p := s.params()
		for _, w := range wycheproofTests(t, "hkdf-"+s.String(), 80) {
			prk, out, salt := make([]byte, p.nh), make([]byte, w.Size), w.Salt
			if len(salt) > p.block { // which ours refuses
				salt = make([]byte, p.nh)
				p.sum(salt, w.Salt)
			}
			ok := p.hmac(prk, salt, append(make([]byte, p.block), w.IKM...)) && p.hkdfExpand(out, prk, w.Info)
			if w.Result != "valid" { // more than can be derived, which circl does not check; ours ask for constants
				if ok {
					t.Errorf("%d (%s): derived", w.ID, w.Comment)
				}
				continue
			}
			if !ok || !bytes.Equal(out, w.OKM) {
				t.Errorf("%d (%s): %t, %x", w.ID, w.Comment, ok, out)
			}
			kdf := kdfs[s]
			if got := kdf.Expand(kdf.Extract(w.IKM, w.Salt), w.Info, uint(w.Size)); !bytes.Equal(got, w.OKM) {
				t.Errorf("%d (%s): circl derives something else", w.ID, w.Comment)
			}
		}
	})
}
