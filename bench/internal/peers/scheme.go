package peers

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"

	"redoubt/wire/kit/sealed"
)

// What all sides put into their messages; bench/peers/src/main.rs has the same.
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

// xWingScheme is the standard library's, with HKDF-SHA256 and AES-256-GCM.
type xWingScheme struct {
	own   hpke.PrivateKey
	other hpke.PublicKey
}

func newXWing() (*xWingScheme, error) {
	key, err := hpke.MLKEM768X25519().GenerateKey()
	return &xWingScheme{own: key}, err
}

func (x *xWingScheme) public() ([]byte, error) { return x.own.PublicKey().Bytes(), nil }

func (x *xWingScheme) meet(public []byte) (err error) {
	x.other, err = hpke.MLKEM768X25519().NewPublicKey(public)
	return err
}

func (x *xWingScheme) make() ([]byte, error) {
	enc, sender, err := hpke.NewSender(x.other, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info))
	if err != nil {
		return nil, err
	}
	ct, err := sender.Seal([]byte(fieldName), []byte(text))
	return append(enc, ct...), err
}

// xWingEnc is the size of X-Wing's encapsulated key (draft-connolly-cfrg-xwing-kem, section 5.3).
const xWingEnc = 1120

func (x *xWingScheme) open(message []byte) ([]byte, error) {
	enc := message[:min(xWingEnc, len(message))]
	recipient, err := hpke.NewRecipient(enc, x.own, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info))
	if err != nil {
		return nil, err
	}
	return recipient.Open([]byte(fieldName), message[len(enc):])
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
