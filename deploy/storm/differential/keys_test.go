package differential

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	circl "github.com/cloudflare/circl/hpke"

	"redoubt/wire/kit/sealed"
)

// circlOf has circl's numbers of a suite. They are written anew here: package sealed has its own table.
var circlOf = map[sealed.Suite]struct {
	kem circl.KEM
	kdf circl.KDF
}{
	sealed.P256: {circl.KEM_P256_HKDF_SHA256, circl.KDF_HKDF_SHA256},
	sealed.P384: {circl.KEM_P384_HKDF_SHA384, circl.KDF_HKDF_SHA384},
	sealed.P521: {circl.KEM_P521_HKDF_SHA512, circl.KDF_HKDF_SHA512},
}

// chacha is a stream of bytes from a seed, for code that takes randomness from a reader.
func chacha(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// three are one key pair in three libraries.
type three struct {
	suite sealed.Suite
	ours  *sealed.PrivateKey
	std   hpke.PrivateKey
	kdf   hpke.KDF
	aead  hpke.AEAD

	// circl's: plaintext and export of what was sealed, and sealing.
	open func(enc, info, aad, ct []byte) (plain, exported []byte, err error)
	seal func(r *rand.ChaCha8, info, aad, plain []byte) (enc, ct, exported []byte, err error)
}

var exportContext = []byte("redoubt/v3/field\x00email")

const exportSize = 44

// threeOf makes a key pair of a seed in each library.
func threeOf(t *testing.T, suite sealed.Suite, r *rand.ChaCha8) three {
	t.Helper()
	c := circlOf[suite]
	size := c.kem.Scheme().PrivateKeySize()
	var std *ecdh.PrivateKey
	for std == nil { // a scalar beyond the order is drawn anew
		raw := make([]byte, size)
		if _, err := r.Read(raw); err != nil {
			t.Fatal(err)
		}
		if suite == sealed.P521 {
			raw[0] &= 1
		}
		std, _ = suite.Curve().NewPrivateKey(raw)
	}
	der, err := x509.MarshalPKCS8PrivateKey(std)
	if err != nil {
		t.Fatal(err)
	}
	k, circlSuite := three{suite: suite}, circl.NewSuite(c.kem, c.kdf, circl.AEAD_AES256GCM)
	if k.ours, err = sealed.ParsePrivateKey(suite, der); err != nil {
		t.Fatal(err)
	}
	if k.std, err = hpke.NewDHKEMPrivateKey(std); err != nil {
		t.Fatal(err)
	}
	if k.kdf, err = hpke.NewKDF(uint16(c.kdf)); err != nil {
		t.Fatal(err)
	}
	if k.aead, err = hpke.NewAEAD(uint16(circl.AEAD_AES256GCM)); err != nil {
		t.Fatal(err)
	}
	private, err := c.kem.Scheme().UnmarshalBinaryPrivateKey(std.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	public, err := c.kem.Scheme().UnmarshalBinaryPublicKey(std.PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	k.open = func(enc, info, aad, ct []byte) ([]byte, []byte, error) {
		receiver, err := circlSuite.NewReceiver(private, info)
		if err != nil {
			return nil, nil, err
		}
		opener, err := receiver.Setup(enc)
		if err != nil {
			return nil, nil, err
		}
		plain, err := opener.Open(ct, aad)
		return plain, opener.Export(exportContext, exportSize), err
	}
	k.seal = func(r *rand.ChaCha8, info, aad, plain []byte) (enc, ct, exported []byte, err error) {
		sender, err := circlSuite.NewSender(public, info)
		if err != nil {
			return nil, nil, nil, err
		}
		enc, sealer, err := sender.Setup(r)
		if err != nil {
			return nil, nil, nil, err
		}
		ct, err = sealer.Seal(plain, aad)
		return enc, ct, sealer.Export(exportContext, exportSize), err
	}
	return k
}

// message is what is sealed: all of it from the seed.
type message struct{ info, name, plain []byte }

func messageOf(r *rand.ChaCha8) message {
	random := rand.New(r)
	text := func(most int) []byte {
		b := make([]byte, random.IntN(most+1))
		_, _ = r.Read(b) // never fails
		return b
	}
	name := []byte("email")
	if random.IntN(2) == 0 {
		name = fmt.Appendf(nil, "field_%d", random.IntN(1000))
	}
	return message{append([]byte("v_"), text(40)...), name, text(300)}
}

// opened are what each of the three makes of a sealed message, and the two that can export, of the export.
func (k *three) opened(m *message, enc, ct []byte) (plains, exports [][]byte, err error) {
	plain, exported, err := k.open(enc, m.info, m.name, ct)
	if err != nil {
		return nil, nil, fmt.Errorf("circl: %w", err)
	}
	plains, exports = append(plains, plain), append(exports, exported)
	recipient, err := hpke.NewRecipient(enc, k.std, k.kdf, k.aead, m.info)
	if err != nil {
		return nil, nil, fmt.Errorf("crypto/hpke: %w", err)
	}
	if plain, err = recipient.Open(m.name, ct); err != nil {
		return nil, nil, fmt.Errorf("crypto/hpke: %w", err)
	}
	if exported, err = recipient.Export(string(exportContext), exportSize); err != nil {
		return nil, nil, fmt.Errorf("crypto/hpke: %w", err)
	}
	plains, exports = append(plains, plain), append(exports, exported)
	blob, err := sealed.ParseBlob(k.suite, sealed.EncodingField, append(bytes.Clone(enc), ct...))
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: %w", err)
	}
	var mem [sealed.ContextSize]byte
	c, err := k.ours.Derive(mem[:], m.info, blob.Enc)
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: %w", err)
	}
	plain, err = c.Open(nil, m.name, blob)
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: %w", err)
	}
	var field [sealed.FieldSize]byte
	if _, err = c.Field(field[:], []byte("email")); err != nil {
		return nil, nil, fmt.Errorf("sealed: %w", err)
	}
	return append(plains, plain), append(exports, field[:exportSize]), nil
}

// agree reports a difference among results, or from what they must be.
func agree(want []byte, got [][]byte) bool {
	for _, g := range got {
		if !bytes.Equal(g, want) {
			return false
		}
	}
	return len(got) == 3
}

func TestCirclTheStandardLibraryAndOursAgreeOnGeneratedKeys(t *testing.T) {
	for _, suite := range sealed.Suites() {
		t.Run(suite.String(), func(t *testing.T) {
			forSeeds(t, 8, func(t *testing.T, seed uint64) {
				r := chacha(seed)
				k, m := threeOf(t, suite, r), messageOf(r)
				enc, ct, exported, err := k.seal(r, m.info, m.name, m.plain)
				if err != nil {
					t.Fatal(err)
				}
				plains, exports, err := k.opened(&m, enc, ct)
				if err != nil || !agree(m.plain, plains) || !agree(exported, exports) {
					t.Fatalf("what circl sealed: %v", err)
				}
				enc, sender, err := hpke.NewSender(k.std.PublicKey(), k.kdf, k.aead, m.info)
				if err != nil {
					t.Fatal(err)
				}
				if ct, err = sender.Seal(m.name, m.plain); err != nil {
					t.Fatal(err)
				}
				if exported, err = sender.Export(string(exportContext), exportSize); err != nil {
					t.Fatal(err)
				}
				plains, exports, err = k.opened(&m, enc, ct)
				if err != nil || !agree(m.plain, plains) || !agree(exported, exports) {
					t.Fatalf("what crypto/hpke sealed: %v", err)
				}
				blobs, err := sealed.Seal(sealed.EncodingField, suite, k.ours.Public(), string(m.info), map[string][]byte{string(m.name): m.plain})
				if err != nil {
					t.Fatal(err)
				}
				b := blobs[string(m.name)]
				if plains, exports, err = k.opened(&m, b[:suite.EncSize()], b[suite.EncSize():]); err != nil || !agree(m.plain, plains) ||
					!agree(exports[0], exports) {
					t.Fatalf("what package sealed sealed: %v", err)
				}
				// The comparison itself: a library that is wrong in one bit.
				exports[seed%3][0] ^= 1
				if agree(exported, exports) {
					t.Fatal("a planted difference was not found")
				}
				ct[len(ct)-1] ^= 1
				if _, _, err := k.opened(&m, enc, ct); err == nil {
					t.Fatal("a changed tag was opened by all")
				}
			})
		})
	}
}
