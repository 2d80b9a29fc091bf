package cms

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// wycheproof is one of the Wycheproof project's tests of RSAES-OAEP with SHA-256; make.py in
// wire/kit/sealed/testdata/wycheproof says where they come from.
type wycheproof struct {
	ID      int      `json:"tcId"`
	Comment string   `json:"comment"`
	Result  string   `json:"result"`
	KeySize int      `json:"keySize"`
	Key     hexBytes `json:"key"` // PKCS#8, with the first test of each size
	Msg     hexBytes `json:"msg"`
	CT      hexBytes `json:"ct"`
	Label   hexBytes `json:"label"`
}

func wycheproofTests(t *testing.T) (tests []wycheproof) {
	t.Helper()
	raw, err := os.ReadFile("testdata/wycheproof-oaep.json")
	if err != nil {
		t.Fatal(err)
	}
	file := struct{ Tests *[]wycheproof }{&tests}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return tests
}

// SECURITY.md, check 21. A test's ciphertext stands where KMS puts the wrapped content key: what is unwrapped is as
// stated, and the envelope opens if that is a key of 32 bytes. KMS uses no label: ciphertexts with one are refused.
func TestWycheproofOAEPUnwrapsAsStated(t *testing.T) {
	var key *rsa.PrivateKey
	opened, tests := 0, wycheproofTests(t)
	for _, w := range tests {
		if len(w.Key) > 0 {
			parsed, err := x509.ParsePKCS8PrivateKey(w.Key)
			if err != nil {
				t.Fatal(err)
			}
			key = parsed.(*rsa.PrivateKey)
		}
		valid := w.Result == "valid" && len(w.Label) == 0
		got, err := unwrap(key, w.CT)
		if (err == nil) != valid || valid && !bytes.Equal(got, w.Msg) {
			t.Errorf("%d bits, %d (%s), %s: %v", w.KeySize, w.ID, w.Comment, w.Result, err)
		}
		cek := make([]byte, contentKey)
		copy(cek, w.Msg)
		p := sealWith(t, &key.PublicKey, cek, make([]byte, blockSize), append([]byte("content"), pkcs7(len("content"))...))
		p.wrapped = w.CT
		plain, err := Open(key, p.bytes())
		if want := valid && len(w.Msg) == contentKey; (err == nil) != want {
			t.Errorf("%d bits, %d (%s): opened %v", w.KeySize, w.ID, w.Comment, err == nil)
		}
		if err == nil {
			if opened++; string(plain.Bytes()) != "content" {
				t.Errorf("%d bits, %d: opened to something else", w.KeySize, w.ID)
			}
			plain.Destroy()
		} else if err != ErrOpen { //nolint:errorlint // not even wrapped
			t.Errorf("%d bits, %d: another error: %v", w.KeySize, w.ID, err)
		}
	}
	if opened != 3 || len(tests) < 100 {
		t.Errorf("%d of %d tests opened, want one of each size", opened, len(tests))
	}
}
