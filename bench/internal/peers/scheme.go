package peers

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/kem"

	"redoubt/wire/kit/sealed"
)

// All sides put these into their messages; bench/peers/src/main.rs has the same.
const (
	info      = "v_bench"
	fieldName = "ssn9"
	text      = "123-45-6789"
)

// contentKey is a content key, as KMS wraps it for a recipient.
var contentKey = []byte("0123456789abcdef0123456789abcdef")

// errAbsent reports a scheme that a side has not.
var errAbsent = errors.New("absent")

// scheme is a key pair and the other side's public key. make returns what is made for that key: a sealed message, or
// the shared secret of a key agreement.
type scheme interface {
	public() ([]byte, error)
	meet(public []byte) error
	make() ([]byte, error)
	open(message []byte) ([]byte, error)
}

const (
	ecdhPrefix = "ecdh/"
	hpkePrefix = "hpke/"
	xWing      = "hpke/X-Wing"
	oaep       = "rsa-oaep/2048"
)

// schemes are the names of all, in the order in which they are measured.
func schemes() (names []string) {
	for _, prefix := range []string{ecdhPrefix, hpkePrefix} {
		for _, s := range sealed.Suites() {
			names = append(names, prefix+s.String())
		}
	}
	return append(names, xWing, oaep)
}

func newScheme(name string) (scheme, error) {
	switch name {
	case xWing:
		return newXWing()
	case oaep:
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		return &oaepScheme{own: key}, err
	}
	prefix, suite, _ := strings.Cut(name, "/")
	s, err := sealed.SuiteNamed(suite)
	switch {
	case err != nil:
		return nil, errAbsent
	case prefix+"/" == ecdhPrefix:
		key, err := s.Curve().GenerateKey(rand.Reader)
		return &agreement{own: key}, err
	case prefix+"/" == hpkePrefix:
		return newField(s)
	}
	return nil, errAbsent
}

// agreement is crypto/ecdh's. The machine code is within package sealed, and shows in what that opens.
type agreement struct {
	own   *ecdh.PrivateKey
	other []byte
}

func (a *agreement) public() ([]byte, error) { return a.own.PublicKey().Bytes(), nil }

func (a *agreement) meet(public []byte) error {
	a.other = public
	return nil
}

func (a *agreement) make() ([]byte, error) {
	other, err := a.own.Curve().NewPublicKey(a.other)
	if err != nil {
		return nil, err
	}
	return a.own.ECDH(other)
}

func (a *agreement) open([]byte) ([]byte, error) { return nil, errQuestion }

// field is package sealed's encoding 2, with the private key parsed: enc, ciphertext.
type field struct {
	der   []byte
	own   *sealed.PrivateKey
	other *sealed.PublicKey
	mem   [sealed.ContextSize]byte
	in    map[string][]byte
}

func newField(s sealed.Suite) (*field, error) {
	key, err := s.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	own, err := sealed.ParsePrivateKey(s, der)
	return &field{der: der, own: own, in: map[string][]byte{fieldName: []byte(text)}}, err
}

func (f *field) public() ([]byte, error) { return f.own.Public().AppendPoint(nil), nil }

func (f *field) meet(public []byte) error {
	key, err := f.own.Suite().Curve().NewPublicKey(public)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return err
	}
	f.other, err = sealed.ParsePublicKey(f.own.Suite(), der)
	return err
}

func (f *field) make() ([]byte, error) {
	out, err := sealed.Seal(sealed.EncodingField, f.own.Suite(), f.other, info, f.in)
	return out[fieldName], err
}

func (f *field) open(message []byte) ([]byte, error) {
	blob, err := sealed.ParseBlob(f.own.Suite(), sealed.EncodingField, message)
	if err != nil {
		return nil, err
	}
	c, err := f.own.Derive(f.mem[:], []byte(info), blob.Enc)
	if err != nil {
		return nil, err
	}
	return c.Open(nil, []byte(fieldName), blob)
}

// xWingScheme opens with package sealed's suite of domains, and seals with the library that it seals with: HKDF-SHA256
// and AES-256-GCM.
type xWingScheme struct {
	own   *sealed.PrivateKey
	other kem.PublicKey
	mem   [sealed.ContextSize]byte
}

func newXWing() (*xWingScheme, error) {
	seed := make([]byte, 32)
	_, _ = rand.Read(seed)
	own, err := sealed.NewPrivateKey(sealed.XWing, seed)
	return &xWingScheme{own: own}, err
}

func (x *xWingScheme) public() ([]byte, error) { return x.own.Public().AppendPoint(nil), nil }

func (x *xWingScheme) meet(public []byte) (err error) {
	x.other, err = hpke.KEM_XWING.Scheme().UnmarshalBinaryPublicKey(public)
	return err
}

func (x *xWingScheme) make() ([]byte, error) {
	suite := hpke.NewSuite(hpke.KEM_XWING, hpke.KDF_HKDF_SHA256, hpke.AEAD_AES256GCM)
	sender, err := suite.NewSender(x.other, []byte(info))
	if err != nil {
		return nil, err
	}
	enc, sealer, err := sender.Setup(rand.Reader)
	if err != nil {
		return nil, err
	}
	ct, err := sealer.Seal([]byte(text), []byte(fieldName))
	return append(enc, ct...), err
}

func (x *xWingScheme) open(message []byte) ([]byte, error) {
	n := min(sealed.XWing.EncSize(), len(message))
	c, err := x.own.Derive(x.mem[:], []byte(info), message[:n])
	if err != nil {
		return nil, err
	}
	return c.Open(nil, []byte(fieldName), sealed.Blob{Encoding: sealed.EncodingField, Enc: message[:n], CT: message[n:]})
}

// oaepScheme is what opens KMS's answers (the enclave's package cms): RSAES-OAEP with SHA-256 for hash and MGF1.
type oaepScheme struct {
	own   *rsa.PrivateKey
	other *rsa.PublicKey
}

func (o *oaepScheme) public() ([]byte, error) { return x509.MarshalPKIXPublicKey(&o.own.PublicKey) }

func (o *oaepScheme) meet(public []byte) error {
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return err
	}
	other, ok := key.(*rsa.PublicKey)
	if !ok {
		return errAbsent
	}
	o.other = other
	return nil
}

func (o *oaepScheme) make() ([]byte, error) {
	return rsa.EncryptOAEP(sha256.New(), rand.Reader, o.other, contentKey, nil)
}

func (o *oaepScheme) open(message []byte) ([]byte, error) {
	return rsa.DecryptOAEP(sha256.New(), nil, o.own, message, nil)
}
