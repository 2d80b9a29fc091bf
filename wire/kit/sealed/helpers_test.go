package sealed

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"testing"
)

var curves = map[Suite]ecdh.Curve{P256: ecdh.P256(), P384: ecdh.P384(), P521: ecdh.P521()}

// pair is a fresh key pair in every form.
type pair struct {
	suite       Suite
	std         *ecdh.PrivateKey
	pkcs8, spki []byte
	sk          *PrivateKey
	pk          *PublicKey
}

func newPair(t testing.TB, suite Suite) pair {
	t.Helper()
	p := pair{suite: suite}
	var err error
	if p.std, err = curves[suite].GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if p.pkcs8, err = x509.MarshalPKCS8PrivateKey(p.std); err != nil {
		t.Fatal(err)
	}
	if p.spki, err = x509.MarshalPKIXPublicKey(p.std.PublicKey()); err != nil {
		t.Fatal(err)
	}
	if p.sk, err = ParsePrivateKey(suite, p.pkcs8); err != nil {
		t.Fatal(err)
	}
	if p.pk, err = ParsePublicKey(suite, p.spki); err != nil {
		t.Fatal(err)
	}
	return p
}

// openOnce opens one blob from scratch, as a cold reader does.
func openOnce(sk *PrivateKey, info, name string, encoding Encoding, raw []byte) ([]byte, error) {
	blob, err := ParseBlob(sk.Suite(), encoding, raw)
	if err != nil {
		return nil, err
	}
	var mem [ContextSize]byte
	c, err := sk.Derive(mem[:], []byte(info), blob.Enc)
	if err != nil {
		return nil, err
	}
	return c.Open(nil, []byte(name), blob)
}

// sealOne seals as the writers of each encoding did. What comes of encoding 1 is in the form that [AppendHex] leaves.
func sealOne(t testing.TB, e Encoding, p pair, info, name, plaintext string) []byte {
	t.Helper()
	out, err := Seal(max(e, EncodingField), p.suite, p.pk, info, map[string][]byte{name: []byte(plaintext)})
	if err != nil {
		t.Fatal(err)
	}
	return out[name]
}

// hexForm is what is stored of raw in encoding 1.
func hexForm(s Suite, raw []byte) []byte {
	return fmt.Appendf(nil, "%x#%x", raw[:s.EncSize()], raw[s.EncSize():])
}

func forSuites(t *testing.T, f func(t *testing.T, s Suite)) {
	t.Helper()
	for _, s := range Suites() {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}
