package sealed

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
)

type ecKey struct {
	Version    int
	Scalar     []byte
	Parameters asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	Public     asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

type pkcs8 struct {
	Version    int
	Algorithm  algorithm
	Key        []byte
	Attributes asn1.RawValue  `asn1:"optional,tag:0"`
	Public     asn1.BitString `asn1:"optional,tag:1"`
}

type algorithm struct{ OID, Curve asn1.ObjectIdentifier }

func der(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bits(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }

// forms builds key files of one suite, good and bad ones.
type forms struct {
	t   testing.TB
	oid asn1.ObjectIdentifier
}

func (f forms) algorithm() algorithm { return algorithm{oidECPublicKey, f.oid} }

func (f forms) sec1(k ecKey) []byte {
	k.Version++ // 1, unless a test says otherwise
	return der(f.t, k)
}

func (f forms) pkcs8(k ecKey) []byte {
	return der(f.t, pkcs8{Algorithm: f.algorithm(), Key: f.sec1(k)})
}

func (f forms) outer(k ecKey, point []byte) []byte {
	return der(f.t, pkcs8{Version: 1, Algorithm: f.algorithm(), Key: f.sec1(k), Public: bits(point)})
}

// keyForms builds the same key in the forms that writers produce.
func keyForms(t testing.TB, p pair) map[string][]byte {
	f := forms{t, p.suite.params().oid}
	scalar, point := p.std.Bytes(), p.std.PublicKey().Bytes()
	size := (len(point) - 1) / 2
	compressed := append([]byte{2 | point[2*size]&1}, point[1:1+size]...)
	empty := asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true}
	return map[string][]byte{
		"pkcs8 of crypto/x509":        p.pkcs8,
		"pkcs8 without public key":    f.pkcs8(ecKey{Scalar: scalar}),
		"pkcs8 with inner parameters": f.pkcs8(ecKey{Scalar: scalar, Parameters: f.oid}),
		"pkcs8 with compressed key":   f.pkcs8(ecKey{Scalar: scalar, Public: bits(compressed)}),
		"pkcs8 with outer public key": f.outer(ecKey{Scalar: scalar}, point),
		"pkcs8 with both public keys": f.outer(ecKey{Scalar: scalar, Public: bits(point)}, point),
		"pkcs8 with no attributes": der(t, pkcs8{
			Algorithm: f.algorithm(), Key: f.sec1(ecKey{Scalar: scalar}), Attributes: empty,
		}),
		"sec1":                      f.sec1(ecKey{Scalar: scalar, Parameters: f.oid, Public: bits(point)}),
		"sec1 without public key":   f.sec1(ecKey{Scalar: scalar, Parameters: f.oid}),
		"sec1 without anything":     f.sec1(ecKey{Scalar: scalar}),
		"sec1 with a longer scalar": f.sec1(ecKey{Scalar: append([]byte{0, 0}, scalar...), Parameters: f.oid}),
		"sec1 with minimal scalar":  f.sec1(ecKey{Scalar: bytes.TrimLeft(scalar, "\x00"), Parameters: f.oid}),
	}
}

func TestPrivateKeyFormsGiveTheSameKey(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		raw := sealOne(t, EncodingRecord, p, "v_1", "ssn", "1")
		for name, form := range keyForms(t, p) {
			sk, err := ParsePrivateKey(s, form)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if _, err := openOnce(sk, "v_1", "ssn", EncodingRecord, raw); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestPrivateKeysAreRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p, other := newPair(t, s), newPair(t, s)
		f := forms{t, s.params().oid}
		n := map[Suite]elliptic.Curve{P256: elliptic.P256(), P384: elliptic.P384(), P521: elliptic.P521()}[s].Params().N
		scalar, point := p.std.Bytes(), p.std.PublicKey().Bytes()
		fixed := func(v *big.Int) []byte { return v.FillBytes(make([]byte, len(scalar))) }
		rsaKey, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
		if err != nil {
			t.Fatal(err)
		}
		wrong := other.std.PublicKey().Bytes()
		good := f.sec1(ecKey{Scalar: scalar})
		oddBits := asn1.BitString{Bytes: point, BitLength: 8*len(point) - 3}
		for name, form := range map[string][]byte{
			"nothing":              nil,
			"zero scalar":          f.pkcs8(ecKey{Scalar: make([]byte, len(scalar))}),
			"no scalar":            f.pkcs8(ecKey{}),
			"scalar n":             f.pkcs8(ecKey{Scalar: fixed(n)}),
			"scalar n+1":           f.pkcs8(ecKey{Scalar: fixed(new(big.Int).Add(n, big.NewInt(1)))}),
			"scalar too long":      f.pkcs8(ecKey{Scalar: append([]byte{1}, scalar...)}),
			"another public key":   f.pkcs8(ecKey{Scalar: scalar, Public: bits(wrong)}),
			"another outer key":    f.outer(ecKey{Scalar: scalar}, wrong),
			"public key cut":       f.pkcs8(ecKey{Scalar: scalar, Public: bits(point[:len(point)-1])}),
			"public key of one 2":  f.pkcs8(ecKey{Scalar: scalar, Public: bits([]byte{2})}),
			"public key, odd bits": f.pkcs8(ecKey{Scalar: scalar, Public: oddBits}),
			"trailing byte":        append(slices.Clone(p.pkcs8), 0),
			"cut":                  p.pkcs8[:len(p.pkcs8)-1],
			"version 2":            der(t, pkcs8{Version: 2, Algorithm: f.algorithm(), Key: good}),
			"inner version 2":      f.pkcs8(ecKey{Version: 1, Scalar: scalar}),
			"inner trailing byte":  der(t, pkcs8{Algorithm: f.algorithm(), Key: append(slices.Clone(good), 0)}),
			"RSA":                  rsaDER,
			"another inner curve":  f.pkcs8(ecKey{Scalar: scalar, Parameters: asn1.ObjectIdentifier{1, 3, 132, 0, 10}}),
			"not an EC algorithm":  der(t, pkcs8{Algorithm: algorithm{asn1.ObjectIdentifier{1, 2, 3}, f.oid}, Key: good}),
			"a public key":         p.spki,
			"the bare scalar":      scalar,
			"PEM, not DER":         []byte("-----BEGIN PRIVATE KEY-----\n"),
			"an empty sequence":    {0x30, 0},
			"an indefinite length": append([]byte{0x30, 0x80}, p.pkcs8[2:]...),
			"nested in an octet":   der(t, p.pkcs8),
		} {
			if sk, err := ParsePrivateKey(s, form); !errors.Is(err, ErrKey) || sk != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, wrong := range append(Suites(), 0, 9) {
			if wrong != s {
				if _, err := ParsePrivateKey(wrong, p.pkcs8); !errors.Is(err, ErrKey) {
					t.Errorf("as suite %v: %v", wrong, err)
				}
			}
		}
	})
}

func TestPublicKeysAreRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		offCurve := slices.Clone(p.spki)
		offCurve[len(offCurve)-1] ^= 1
		for name, form := range map[string][]byte{
			"nothing": nil, "off the curve": offCurve, "trailing byte": append(slices.Clone(p.spki), 0),
			"cut": p.spki[:len(p.spki)-1], "private key": p.pkcs8, "bare point": p.std.PublicKey().Bytes(),
		} {
			if pk, err := ParsePublicKey(s, form); !errors.Is(err, ErrKey) || pk != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, wrong := range append(Suites(), 0, 9) {
			if wrong != s {
				if _, err := ParsePublicKey(wrong, p.spki); !errors.Is(err, ErrKey) {
					t.Errorf("as suite %v: %v", wrong, err)
				}
			}
		}
	})
}
