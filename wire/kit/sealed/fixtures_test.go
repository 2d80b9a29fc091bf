package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixture is a file of testdata/fixtures; see testdata/make_vectors.py.
type fixture struct {
	Suite     string `json:"suite"`
	SuiteID   string `json:"suite_id"`
	VaultID   string `json:"vault_id"`
	PublicKey []byte `json:"public_key"`
	PKCS8     []byte `json:"pkcs8"`
	SEC1      []byte `json:"sec1"`
	Context   *struct {
		Enc       []byte `json:"enc"`
		Key       []byte `json:"key"`
		BaseNonce []byte `json:"base_nonce"`
		Exports   []struct {
			Context []byte `json:"context"`
			Value   []byte `json:"value"`
		} `json:"exports"`
	} `json:"context"`
	Fields []struct {
		Encoding  Encoding `json:"encoding"`
		Name      string   `json:"name"`
		Plaintext []byte   `json:"plaintext"`
		Sealed    string   `json:"sealed"`
	} `json:"fields"`
}

func (f *fixture) suite(t testing.TB) Suite {
	t.Helper()
	id, err := hex.DecodeString(f.SuiteID)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSuite(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fixtures(t *testing.T, f func(t *testing.T, s Suite, fx *fixture)) {
	t.Helper()
	for _, s := range Suites() {
		for _, maker := range []string{"python", "redoubt"} {
			name := maker + "-" + strings.ToLower(s.String()) + ".json"
			t.Run(name, func(t *testing.T) {
				raw, err := os.ReadFile(filepath.Join("testdata/fixtures", name))
				if err != nil {
					t.Fatal(err)
				}
				var fx fixture
				if err := json.Unmarshal(raw, &fx); err != nil {
					t.Fatal(err)
				}
				if got := fx.suite(t); got != s {
					t.Fatalf("the file is of %v", got)
				}
				f(t, s, &fx)
			})
		}
	}
}

// SECURITY.md, check 38; the python-* files are also the cross-check with an implementation that has its own curves.
func TestFixturesOpenForever(t *testing.T) {
	fixtures(t, func(t *testing.T, s Suite, fx *fixture) {
		sk, err := ParsePrivateKey(s, fx.PKCS8)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[Encoding]int)
		for _, f := range fx.Fields {
			seen[f.Encoding]++
			raw := rawOf(t, s, f.Encoding, f.Sealed)
			plain, err := openOnce(sk, fx.VaultID, f.Name, f.Encoding, raw)
			if err != nil || !bytes.Equal(plain, f.Plaintext) {
				t.Errorf("encoding %d, field %.20q: got %d bytes, %v", f.Encoding, f.Name, len(plain), err)
			}
		}
		for e := EncodingHex; e <= EncodingRecord; e++ {
			if seen[e] < 4 {
				t.Errorf("%d fields of encoding %d, want 4", seen[e], e)
			}
		}
	})
}

// rawOf turns a stored value into what the wire carries.
func rawOf(t *testing.T, s Suite, e Encoding, stored string) []byte {
	t.Helper()
	if e == EncodingHex {
		raw, err := AppendHex(nil, s, stored)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Detect([]byte(stored)); err != nil || got != e {
			t.Errorf("detected %d, %v", got, err)
		}
		return raw
	}
	raw, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Detect(raw); err != nil || got != e {
		t.Errorf("detected %d, %v", got, err)
	}
	return raw
}

func TestFixtureKeysReadInEveryForm(t *testing.T) {
	fixtures(t, func(t *testing.T, s Suite, fx *fixture) {
		pub, err := ParsePublicKey(s, fx.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, der := range [][]byte{fx.PKCS8, fx.SEC1} {
			if der == nil {
				continue
			}
			sk, err := ParsePrivateKey(s, der)
			if err != nil {
				t.Fatal(err)
			}
			if got := sk.Public().AppendPoint(nil); !bytes.Equal(got, pub.AppendPoint(nil)) {
				t.Error("the public keys differ")
			}
		}
	})
}

func TestKeyScheduleAndExporterMatchPython(t *testing.T) {
	fixtures(t, func(t *testing.T, s Suite, fx *fixture) {
		if fx.Context == nil {
			return // made by this package
		}
		sk, err := ParsePrivateKey(s, fx.SEC1)
		if err != nil {
			t.Fatal(err)
		}
		var mem [ContextSize]byte
		c, err := sk.Derive(mem[:], []byte(fx.VaultID), fx.Context.Enc)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.key(), fx.Context.Key) || !bytes.Equal(c.baseNonce(), fx.Context.BaseNonce) {
			t.Error("key or nonce differ")
		}
		for _, e := range fx.Context.Exports {
			got := make([]byte, len(e.Value))
			if !export(s.params(), got, c.exporter(), e.Context) || !bytes.Equal(got, e.Value) {
				t.Errorf("export of %d bytes differs", len(e.Value))
			}
		}
	})
}
