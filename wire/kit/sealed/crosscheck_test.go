package sealed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"testing"
)

// The standard library's HPKE, put together for each suite.
func stdHPKE(t *testing.T, p pair) (hpke.PublicKey, hpke.PrivateKey, hpke.KDF, hpke.AEAD) {
	t.Helper()
	id := p.suite.ID()
	kdf, err := hpke.NewKDF(uint16(id[6])<<8 | uint16(id[7]))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := hpke.NewAEAD(uint16(id[8])<<8 | uint16(id[9]))
	if err != nil {
		t.Fatal(err)
	}
	priv, err := hpke.NewDHKEMPrivateKey(p.std)
	if err != nil {
		t.Fatal(err)
	}
	if got := priv.KEM().ID(); got != uint16(id[4])<<8|uint16(id[5]) {
		t.Fatalf("KEM %#x", got)
	}
	return priv.PublicKey(), priv, kdf, aead
}

func stdGCM(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

const (
	crossVault = "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"
	crossName  = "last_name"
	crossPlain = "Ångström"
)

func TestEncoding2SealedByTheStandardLibraryOpens(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		pub, _, kdf, aead := stdHPKE(t, p)
		enc, sender, err := hpke.NewSender(pub, kdf, aead, []byte(crossVault))
		if err != nil {
			t.Fatal(err)
		}
		ct, err := sender.Seal([]byte(crossName), []byte(crossPlain))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := openOnce(p.sk, crossVault, crossName, EncodingField, append(enc, ct...))
		if err != nil || string(plain) != crossPlain {
			t.Errorf("%v", err)
		}
	})
}

func TestEncoding2OpensInTheStandardLibrary(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		_, priv, kdf, aead := stdHPKE(t, p)
		raw := sealOne(t, EncodingField, p, crossVault, crossName, crossPlain)
		r, err := hpke.NewRecipient(raw[:s.EncSize()], priv, kdf, aead, []byte(crossVault))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := r.Open([]byte(crossName), raw[s.EncSize():])
		if err != nil || string(plain) != crossPlain {
			t.Errorf("%v", err)
		}
	})
}

func TestEncoding3SealedWithTheStandardLibraryOpens(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		pub, _, kdf, aead := stdHPKE(t, p)
		enc, sender, err := hpke.NewSender(pub, kdf, aead, []byte(crossVault))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := sender.Export("redoubt/v3/field\x00"+crossName, 44)
		if err != nil {
			t.Fatal(err)
		}
		raw := append([]byte{3}, enc...)
		raw = stdGCM(t, keys[:32]).Seal(raw, keys[32:], []byte(crossPlain), []byte("\x03"+crossName))
		plain, err := openOnce(p.sk, crossVault, crossName, EncodingRecord, raw)
		if err != nil || string(plain) != crossPlain {
			t.Errorf("%v", err)
		}
	})
}

func TestEncoding3OpensWithTheStandardLibrary(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		_, priv, kdf, aead := stdHPKE(t, p)
		fields := map[string][]byte{crossName: []byte(crossPlain), "ssn": []byte("1"), "dob": {}}
		out, err := SealRecord(s, p.pk, crossVault, fields)
		if err != nil {
			t.Fatal(err)
		}
		for name, raw := range out {
			if !bytes.Equal(raw[:1+s.EncSize()], out["ssn"][:1+s.EncSize()]) {
				t.Error("fields of one record have different encapsulated keys")
			}
			r, err := hpke.NewRecipient(raw[1:1+s.EncSize()], priv, kdf, aead, []byte(crossVault))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := r.Export("redoubt/v3/field\x00"+name, 44)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := stdGCM(t, keys[:32]).Open(nil, keys[32:], raw[1+s.EncSize():], []byte("\x03"+name))
			if err != nil || !bytes.Equal(plain, fields[name]) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A Field is the same as its Context, for its own name alone.
func TestFieldOpensWhatItsContextOpens(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		long, textless := make([]byte, MaxName+1), Blob{Encoding: EncodingRecord}
		out, err := SealRecord(s, p.pk, crossVault, map[string][]byte{"a": []byte("1"), "b": []byte("2")})
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseBlob(s, EncodingRecord, out["a"])
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseBlob(s, EncodingRecord, out["b"])
		if err != nil {
			t.Fatal(err)
		}
		var mem [ContextSize]byte
		c, err := p.sk.Derive(mem[:], []byte(crossVault), a.Enc)
		if err != nil {
			t.Fatal(err)
		}
		var keys [FieldSize]byte
		if _, err := c.Field(keys[:], []byte("a")); err != nil {
			t.Fatal(err)
		}
		f := LoadField(keys[:])
		for range 2 {
			if plain, err := f.Open([]byte("="), []byte("a"), a); err != nil || string(plain) != "=1" {
				t.Error(err)
			}
		}
		two := a
		two.Encoding = EncodingField
		for what, open := range map[string]func() ([]byte, error){
			"another field":              func() ([]byte, error) { return f.Open(nil, []byte("b"), b) },
			"another field's text":       func() ([]byte, error) { return f.Open(nil, []byte("a"), b) },
			"another name":               func() ([]byte, error) { return f.Open(nil, []byte("b"), a) },
			"another encoding":           func() ([]byte, error) { return f.Open(nil, []byte("a"), two) },
			"no text":                    func() ([]byte, error) { return f.Open(nil, []byte("a"), textless) },
			"a name that is too long":    func() ([]byte, error) { return f.Open(nil, long, a) },
			"no memory":                  func() ([]byte, error) { return LoadField(nil).Open(nil, []byte("a"), a) },
			"a context without memory":   func() ([]byte, error) { return LoadContext(s, nil).Open(nil, []byte("a"), a) },
			"the same in encoding 2":     func() ([]byte, error) { return LoadContext(s, nil).Open(nil, []byte("a"), two) },
			"a context of no suite":      func() ([]byte, error) { return LoadContext(0, mem[:]).Open(nil, []byte("a"), a) },
			"a context, too long a name": func() ([]byte, error) { return c.Open(nil, long, a) },
		} {
			if plain, err := open(); err != ErrOpen || len(plain) != 0 { //nolint:errorlint // exact
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
