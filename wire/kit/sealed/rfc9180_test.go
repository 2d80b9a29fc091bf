package sealed

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	*h = make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(*h, text)
	return err
}

// rfcVector is one of the base-mode vectors published with RFC 9180 (github.com/cfrg/draft-irtf-cfrg-hpke, commit
// 5f503c5), cut to its first message. There is none for P-384.
type rfcVector struct {
	KEM         uint16   `json:"kem_id"`
	KDF         uint16   `json:"kdf_id"`
	AEAD        uint16   `json:"aead_id"`
	Info        hexBytes `json:"info"`
	IkmE        hexBytes `json:"ikmE"`
	SkR         hexBytes `json:"skRm"`
	PkR         hexBytes `json:"pkRm"`
	Enc         hexBytes `json:"enc"`
	Key         hexBytes `json:"key"`
	BaseNonce   hexBytes `json:"base_nonce"`
	Exporter    hexBytes `json:"exporter_secret"`
	Encryptions []struct {
		AAD hexBytes `json:"aad"`
		CT  hexBytes `json:"ct"`
		PT  hexBytes `json:"pt"`
	} `json:"encryptions"`
	Exports []struct {
		Context hexBytes `json:"exporter_context"`
		Length  int      `json:"L"`
		Value   hexBytes `json:"exported_value"`
	} `json:"exports"`
}

func (v *rfcVector) suite(t *testing.T) Suite {
	t.Helper()
	id := []byte{'H', 'P', 'K', 'E', 0, byte(v.KEM), 0, byte(v.KDF), 0, byte(v.AEAD)}
	s, err := ParseSuite(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rfcVectors(t *testing.T) []rfcVector {
	t.Helper()
	raw, err := os.ReadFile("testdata/rfc9180.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []rfcVector
	if err := json.Unmarshal(raw, &vs); err != nil || len(vs) != 2 {
		t.Fatalf("%d vectors, %v", len(vs), err)
	}
	return vs
}

// SECURITY.md, check 21.
func TestRFC9180VectorsOpen(t *testing.T) {
	for _, v := range rfcVectors(t) {
		s := v.suite(t)
		std, err := curves[s].NewPrivateKey(v.SkR)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(std)
		if err != nil {
			t.Fatal(err)
		}
		sk, err := ParsePrivateKey(s, der)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sk.Public().AppendPoint(nil), v.PkR) {
			t.Errorf("%v: public key", s)
		}
		var mem [ContextSize]byte
		c, err := sk.Derive(mem[:], v.Info, v.Enc)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.key(), v.Key) || !bytes.Equal(c.baseNonce(), v.BaseNonce) ||
			!bytes.Equal(c.exporter(), v.Exporter) {
			t.Errorf("%v: key schedule", s)
		}
		e := v.Encryptions[0]
		plain, err := c.Open(nil, e.AAD, Blob{Encoding: EncodingField, Enc: v.Enc, CT: e.CT})
		if err != nil || !bytes.Equal(plain, e.PT) {
			t.Errorf("%v: open: %v", s, err)
		}
		for _, x := range v.Exports {
			out := make([]byte, x.Length)
			if !export(s.params(), out, c.exporter(), x.Context) || !bytes.Equal(out, x.Value) {
				t.Errorf("%v: export", s)
			}
		}
	}
}

func TestRFC9180VectorsSeal(t *testing.T) {
	for _, v := range rfcVectors(t) {
		s := v.suite(t)
		pub, err := publicKey(s, v.PkR)
		if err != nil {
			t.Fatal(err)
		}
		enc, sealer, err := setupSender(bytes.NewReader(v.IkmE), pub, string(v.Info))
		if err != nil || !bytes.Equal(enc, v.Enc) {
			t.Fatalf("%v: encapsulated key: %v", s, err)
		}
		for _, x := range v.Exports {
			if !bytes.Equal(sealer.Export(x.Context, uint(x.Length)), x.Value) {
				t.Errorf("%v: export", s)
			}
		}
		e := v.Encryptions[0]
		ct, err := sealer.Seal(e.PT, e.AAD)
		if err != nil || !bytes.Equal(ct, e.CT) {
			t.Errorf("%v: seal: %v", s, err)
		}
	}
}
