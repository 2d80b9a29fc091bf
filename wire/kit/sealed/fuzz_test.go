package sealed

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"testing"
)

func FuzzParseBlob(f *testing.F) {
	for _, s := range Suites() {
		n := s.EncSize() + TagSize
		f.Add(uint8(s), uint8(2), append([]byte{4}, make([]byte, n-1)...))
		f.Add(uint8(s), uint8(3), append([]byte{3, 4}, make([]byte, n-1)...))
		f.Add(uint8(s), uint8(1), make([]byte, n-1))
	}
	f.Fuzz(func(t *testing.T, suite, encoding uint8, raw []byte) {
		s, e := Suite(suite), Encoding(encoding)
		b, err := ParseBlob(s, e, raw)
		if err != nil {
			if !errors.Is(err, ErrBlob) || b.Enc != nil || b.CT != nil {
				t.Fatal("another error, or a blob beside it")
			}
			return
		}
		var whole []byte
		if e == EncodingRecord {
			whole = []byte{recordByte}
		}
		whole = append(append(whole, b.Enc...), b.CT...)
		if !bytes.Equal(whole, raw) || len(b.Enc) != s.EncSize() || len(b.CT) < TagSize || b.Enc[0] != pointByte {
			t.Fatal("parts are not the whole")
		}
		if e != EncodingHex {
			if got, err := Detect(raw); err != nil || got != e {
				t.Fatal("detected otherwise")
			}
		}
	})
}

func FuzzHexForm(f *testing.F) {
	point := append([]byte{4}, bytes.Repeat([]byte{0xab}, 64)...)
	f.Add(uint8(P256), hex.EncodeToString(point)+"#"+hex.EncodeToString(make([]byte, 20)))
	f.Add(uint8(P384), "04#")
	f.Add(uint8(P521), "")
	f.Fuzz(func(t *testing.T, suite uint8, text string) {
		s := Suite(suite)
		raw, err := AppendHex(nil, s, text)
		if err != nil {
			if raw != nil || !errors.Is(err, ErrBlob) {
				t.Fatal("another error, or bytes beside it")
			}
			return
		}
		if hex.EncodeToString(raw[:s.EncSize()])+"#"+hex.EncodeToString(raw[s.EncSize():]) != text {
			t.Fatal("not the same when written again")
		}
		if _, err := ParseBlob(s, EncodingHex, raw); err != nil {
			t.Fatal("decoded, but no blob")
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"ssn", " First_Name", "_sk", "naïve", "\x00", "K"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := NormalizeName(name)
		if err != nil {
			return
		}
		if again, err := NormalizeName(n); err != nil || again != n || !ValidName(n) {
			t.Fatal("a normalised name changes when normalised")
		}
		if low, err := AppendLower(nil, n); err != nil || string(low) != n {
			t.Fatal("the opening side would use another name")
		}
	})
}

// FuzzPrivateKey compares with crypto/x509: whatever we read, it reads to the same key, unless it wants less than
// we allow (SEC 1 without parameters) or the file says something of the public key, which crypto/x509 ignores.
func FuzzPrivateKey(f *testing.F) {
	for _, s := range Suites() {
		p := newPair(f, s)
		for _, form := range keyForms(f, p) {
			f.Add(uint8(s), form)
		}
	}
	f.Fuzz(func(t *testing.T, suite uint8, der []byte) {
		before := bytes.Clone(der)
		k, err := ParsePrivateKey(Suite(suite), der)
		if !bytes.Equal(before, der) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if !errors.Is(err, ErrKey) || k != nil {
				t.Fatal("another error, or a key beside it")
			}
			return
		}
		point := k.Public().AppendPoint(nil)
		if want := x509Point(der); want != nil && !bytes.Equal(want, point) {
			t.Fatal("crypto/x509 reads another key")
		}
		var mem [ContextSize]byte
		if _, err := k.Derive(mem[:], nil, point); err != nil {
			t.Fatal("the key cannot agree with itself")
		}
	})
}

func x509Point(der []byte) []byte {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if ec, ok := k.(*ecdsa.PrivateKey); ok {
			return ecdhPoint(ec.ECDH())
		}
		return []byte("no EC key")
	}
	if ec, err := x509.ParseECPrivateKey(der); err == nil {
		return ecdhPoint(ec.ECDH())
	}
	return nil
}

func ecdhPoint(k *ecdh.PrivateKey, err error) []byte {
	if err != nil {
		return nil
	}
	return k.PublicKey().Bytes()
}

func FuzzPublicKey(f *testing.F) {
	for _, s := range Suites() {
		f.Add(uint8(s), newPair(f, s).spki)
	}
	f.Fuzz(func(t *testing.T, suite uint8, der []byte) {
		k, err := ParsePublicKey(Suite(suite), der)
		if err != nil {
			if !errors.Is(err, ErrKey) || k != nil {
				t.Fatal("another error, or a key beside it")
			}
			return
		}
		point := k.AppendPoint(nil)
		if len(point) != k.Suite().EncSize() || point[0] != pointByte {
			t.Fatal("not an uncompressed point of the suite")
		}
		if _, err := curves[k.Suite()].NewPublicKey(point); err != nil {
			t.Fatal("not on the curve")
		}
	})
}
