package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cloudflare/circl/kem/xwing"
	"pgregory.net/rapid"
)

// domainPair is a fresh key pair of any suite, as the enclave makes them.
func domainPair(t testing.TB, s Suite) (raw []byte, sk *PrivateKey, pk *PublicKey) {
	t.Helper()
	ikm := make([]byte, s.PrivateSize())
	_, _ = rand.Read(ikm)
	raw = make([]byte, len(ikm))
	if err := KeyFrom(s, raw, ikm); err != nil {
		t.Fatal(err)
	}
	sk, err := NewPrivateKey(s, raw)
	if err != nil {
		t.Fatal(err)
	}
	return raw, sk, sk.Public()
}

func forDomainSuites(t *testing.T, f func(t *testing.T, s Suite)) {
	t.Helper()
	for _, s := range DomainSuites() {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// stdSuite has the standard library's parts of a suite. For the curves it shares crypto/ecdh with us; for X-Wing it
// shares nothing with circl.
func stdSuite(t testing.TB, s Suite) (hpke.KEM, hpke.KDF, hpke.AEAD) {
	t.Helper()
	id := s.ID()
	kem, err1 := hpke.NewKEM(binary.BigEndian.Uint16(id[4:]))
	kdf, err2 := hpke.NewKDF(binary.BigEndian.Uint16(id[6:]))
	aead, err3 := hpke.NewAEAD(binary.BigEndian.Uint16(id[8:]))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return kem, kdf, aead
}

// openRef opens a field as a cold reader does.
func openRef(sk *PrivateKey, info, name string, raw, enc []byte) ([]byte, error) {
	blob, err := JoinBlob(sk.Suite(), raw, enc)
	if err != nil {
		return nil, err
	}
	var mem [RecordSize]byte
	r, err := sk.DeriveRecord(mem[:], []byte(info), enc)
	if err != nil {
		return nil, err
	}
	return r.Open(nil, []byte(name), blob)
}

func TestEncoding4OpensWithTheStandardLibraryAndTheReverse(t *testing.T) {
	forDomainSuites(t, func(t *testing.T, s Suite) {
		raw, sk, pk := domainPair(t, s)
		kem, kdf, aead := stdSuite(t, s)
		fields := map[string][]byte{crossName: []byte(crossPlain), "ssn": []byte("1"), "dob": {}}
		w, err := SealRefs(s, pk, crossVault, fields)
		if err != nil || len(w.Enc) != s.EncSize() {
			t.Fatalf("enc of %d bytes, %v", len(w.Enc), err)
		}
		theirs, err := kem.NewPrivateKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs.PublicKey().Bytes(), pk.AppendPoint(nil)) {
			t.Fatal("the public keys differ")
		}
		r, err := hpke.NewRecipient(w.Enc, theirs, kdf, aead, []byte(crossVault))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := r.Export("redoubt/v4/record", 48)
		if err != nil {
			t.Fatal(err)
		}
		ref := RefOf(w.Enc)
		for name, value := range fields {
			plain, err := stdGCMOpen(t, secret, name, ref, w.Fields[name])
			if err != nil || !bytes.Equal(plain, value) {
				t.Errorf("%s: %v", name, err)
			}
			if plain, err = openRef(sk, crossVault, name, w.Fields[name], w.Enc); err != nil || !bytes.Equal(plain, value) {
				t.Errorf("%s, by us: %v", name, err)
			}
		}

		pub, err := kem.NewPublicKey(pk.AppendPoint(nil))
		if err != nil {
			t.Fatal(err)
		}
		enc, sender, err := hpke.NewSender(pub, kdf, aead, []byte(crossVault))
		if err != nil {
			t.Fatal(err)
		}
		if secret, err = sender.Export("redoubt/v4/record", 48); err != nil {
			t.Fatal(err)
		}
		keys, err := hkdf.Expand(sha512.New384, secret, "field"+crossName, 44)
		if err != nil {
			t.Fatal(err)
		}
		ref = RefOf(enc)
		field := append([]byte{5}, ref[:]...)
		field = stdGCM(t, keys[:32]).Seal(field, keys[32:], []byte(crossPlain), []byte("\x05"+crossName))
		if plain, err := openRef(sk, crossVault, crossName, field, enc); err != nil || string(plain) != crossPlain {
			t.Errorf("sealed by the standard library: %v", err)
		}
	})
}

func stdGCMOpen(t *testing.T, secret []byte, name string, ref Ref, field []byte) ([]byte, error) {
	t.Helper()
	if field[0] != 5 || !bytes.Equal(field[1:9], ref[:]) {
		t.Errorf("%s does not begin with mark and ref", name)
	}
	keys, err := hkdf.Expand(sha512.New384, secret, "field"+name, 44)
	if err != nil {
		t.Fatal(err)
	}
	return stdGCM(t, keys[:32]).Open(nil, keys[32:], field[9:], []byte("\x05"+name))
}

// For the curves KeyFrom is the DeriveKeyPair of both libraries. For X-Wing they differ from each other, and KeyFrom
// is neither: a library taken for the other would lose every vault.
func TestKeyFromIsTheDeriveKeyPairOfRFC9180ForCurvesAlone(t *testing.T) {
	forDomainSuites(t, func(t *testing.T, s Suite) {
		kem, _, _ := stdSuite(t, s)
		for range 20 {
			ikm := make([]byte, s.PrivateSize())
			_, _ = rand.Read(ikm)
			raw := make([]byte, len(ikm))
			if err := KeyFrom(s, raw, ikm); err != nil {
				t.Fatal(err)
			}
			std, err := kem.DeriveKeyPair(ikm)
			if err != nil {
				t.Fatal(err)
			}
			stdRaw, err := std.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			_, circl := s.params().kem.Scheme().DeriveKeyPair(ikm)
			circlRaw, err := circl.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case s.OnCurve() && (!bytes.Equal(raw, stdRaw) || !bytes.Equal(raw, circlRaw)):
				t.Fatal("the three differ")
			case !s.OnCurve() && (!bytes.Equal(raw, ikm) || bytes.Equal(stdRaw, circlRaw) || bytes.Equal(raw, stdRaw) ||
				bytes.Equal(raw, circlRaw)):
				t.Fatal("ikm is not the key, or the libraries agree: see KeyFrom")
			}
		}
	})
}

func TestKeysOfOtherSizesAndRangesAreRefused(t *testing.T) {
	forDomainSuites(t, func(t *testing.T, s Suite) {
		raw, _, pk := domainPair(t, s)
		for _, bad := range [][]byte{nil, raw[:len(raw)-1], append(bytes.Clone(raw), 0)} {
			if _, err := NewPrivateKey(s, bad); !errors.Is(err, ErrKey) {
				t.Errorf("private key of %d bytes: %v", len(bad), err)
			}
			if err := KeyFrom(s, make([]byte, s.PrivateSize()), bad); !errors.Is(err, ErrKey) {
				t.Errorf("ikm of %d bytes: %v", len(bad), err)
			}
		}
		public := pk.AppendPoint(nil)
		again, err := NewPublicKey(s, public)
		if err != nil || !bytes.Equal(again.AppendPoint(nil), public) || len(public) != s.PublicSize() {
			t.Errorf("public key of %d bytes: %v", len(public), err)
		}
		worse := [][]byte{nil, public[:len(public)-1], append(bytes.Clone(public), 0)}
		if s.OnCurve() {
			order := s.params().order
			for _, bad := range [][]byte{make([]byte, len(raw)), order, bytes.Repeat([]byte{0xff}, len(raw))} {
				if _, err := NewPrivateKey(s, bad); !errors.Is(err, ErrKey) || inRange(bad, order) {
					t.Errorf("%x: %v", bad, err)
				}
			}
			last := bytes.Clone(order)
			last[len(last)-1]--
			if _, err := NewPrivateKey(s, last); err != nil || !inRange(last, order) {
				t.Errorf("the order less 1: %v", err)
			}
			flipped := bytes.Clone(public)
			flipped[1] ^= 1
			worse = append(worse, flipped, append([]byte{2}, public[1:]...), make([]byte, len(public)))
		} else {
			// A coefficient of 4095 is beyond ML-KEM's modulus: FIPS 203, section 7.2.
			worse = append(worse, append([]byte{0xff, 0xff, 0xff}, public[3:]...))
		}
		for _, bad := range worse {
			if _, err := NewPublicKey(s, bad); !errors.Is(err, ErrKey) {
				t.Errorf("public key of %d bytes: %v", len(bad), err)
			}
		}
	})
}

// X-Wing is for encoding 4 alone; nothing writes it in an older one, or reads it there.
func TestXWingExistsInEncoding4Alone(t *testing.T) {
	_, sk, pk := domainPair(t, XWing)
	one := map[string][]byte{"a": {1}}
	for _, e := range []Encoding{EncodingField, EncodingRecord} {
		if out, err := Seal(e, XWing, pk, "v_1", one); !errors.Is(err, ErrKey) || out != nil {
			t.Errorf("encoding %d: %v", e, err)
		}
	}
	for e := EncodingHex; e <= EncodingRef; e++ {
		for _, first := range []byte{3, 4, 5} {
			raw := append([]byte{first, 4}, make([]byte, 2000)...)
			if _, err := ParseBlob(XWing, e, raw); !errors.Is(err, ErrBlob) {
				t.Errorf("encoding %d: %v", e, err)
			}
		}
	}
	if _, err := AppendHex(nil, XWing, "04"+strings.Repeat("00", 1119)+"#"+strings.Repeat("00", 16)); !errors.Is(err, ErrBlob) {
		t.Error(err)
	}
	p := newPair(t, P256)
	if _, err := ParsePrivateKey(XWing, p.pkcs8); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if _, err := ParsePublicKey(XWing, p.spki); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	var mem [RecordSize]byte
	if _, err := sk.DeriveRecord(mem[:], nil, make([]byte, 97)); !errors.Is(err, ErrOpen) {
		t.Error("an enc of another suite")
	}
}

func TestAnyFlippedByteOfEncoding4IsRefused(t *testing.T) {
	forDomainSuites(t, func(t *testing.T, s Suite) {
		_, sk, pk := domainPair(t, s)
		w, err := SealRefs(s, pk, "v_1", map[string][]byte{"ssn": []byte("123")})
		if err != nil {
			t.Fatal(err)
		}
		field := w.Fields["ssn"]
		for i := range field {
			field[i] ^= 1 << (i % 8)
			want := ErrOpen
			if i == 0 {
				want = ErrBlob
			}
			if plain, err := openRef(sk, "v_1", "ssn", field, w.Enc); !errors.Is(err, want) || len(plain) != 0 {
				t.Fatalf("byte %d: %v", i, err)
			}
			field[i] ^= 1 << (i % 8)
		}
		for i := range w.Enc {
			w.Enc[i] ^= 1 << (i % 8)
			if _, err := JoinBlob(s, field, w.Enc); !errors.Is(err, ErrOpen) {
				t.Fatalf("byte %d of enc, against the ref: %v", i, err)
			}
			if i%16 == 0 || i > len(w.Enc)-3 { // and what the ref would have let through
				ref := RefOf(w.Enc)
				forged := append(append([]byte{5}, ref[:]...), field[9:]...)
				if plain, err := openRef(sk, "v_1", "ssn", forged, w.Enc); !errors.Is(err, ErrOpen) || len(plain) != 0 {
					t.Fatalf("byte %d of enc: %v", i, err)
				}
			}
			w.Enc[i] ^= 1 << (i % 8)
		}
		for what, f := range map[string]func() ([]byte, error){
			"another name":  func() ([]byte, error) { return openRef(sk, "v_1", "dob", field, w.Enc) },
			"another vault": func() ([]byte, error) { return openRef(sk, "v_2", "ssn", field, w.Enc) },
		} {
			if _, err := f(); !errors.Is(err, ErrOpen) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if plain, err := openRef(sk, "v_1", "ssn", field, w.Enc); err != nil || string(plain) != "123" {
			t.Fatalf("unchanged: %v", err)
		}
	})
}

func TestWhatIsSealedByRefsOpensToItself(t *testing.T) {
	type keys struct {
		sk *PrivateKey
		pk *PublicKey
	}
	pairs := map[Suite]keys{}
	for _, s := range DomainSuites() {
		_, sk, pk := domainPair(t, s)
		pairs[s] = keys{sk, pk}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom([]Suite{P256, P256, XWing, XWing, XWing, P384, P521}).Draw(t, "suite")
		info := rapid.String().Draw(t, "info")
		fields := rapid.MapOfN(nameGen, rapid.SliceOf(rapid.Byte()), 1, 3).Draw(t, "fields")
		w, err := SealRefs(s, pairs[s].pk, info, fields)
		if err != nil || len(w.Fields) != len(fields) {
			t.Fatalf("%d fields, %v", len(w.Fields), err)
		}
		var mem [RecordSize]byte
		r, err := pairs[s].sk.DeriveRecord(mem[:], []byte(info), w.Enc)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range fields {
			if e, err := Detect(w.Fields[name]); err != nil || e != EncodingRef {
				t.Fatal("detected otherwise")
			}
			blob, err := JoinBlob(s, w.Fields[name], w.Enc)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := r.Open([]byte("-"), []byte(name), blob); err != nil || !bytes.Equal(plain[1:], value) {
				t.Fatal(err)
			}
		}
	})
}

func TestAWriteOfNothingHasNoEncapsulatedKey(t *testing.T) {
	_, _, pk := domainPair(t, XWing)
	if w, err := SealRefs(XWing, pk, "v_1", nil); err != nil || w.Enc != nil || len(w.Fields) != 0 {
		t.Error(err)
	}
	if w, err := SealRefs(P256, pk, "v_1", map[string][]byte{"a": nil}); !errors.Is(err, ErrKey) || w.Fields != nil {
		t.Errorf("a key of another suite: %v", err)
	}
	if _, err := sealRefs(failingReader{}, XWing, pk, "v_1", map[string][]byte{"a": nil}); !errors.Is(err, ErrSeal) {
		t.Errorf("no random bytes: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// A record of ten fields takes these bytes in the store, the names and the attributes' overhead apart.
func TestSizesOfTenFieldRecords(t *testing.T) {
	for s, most := range map[Suite]int{XWing: 1600, P384: 580} {
		_, _, pk := domainPair(t, s)
		w, err := SealRefs(s, pk, "v_1", benchPlain(10))
		if err != nil {
			t.Fatal(err)
		}
		size := len(w.Enc)
		for _, f := range w.Fields {
			size += len(f)
		}
		if size > most {
			t.Errorf("%v: %d bytes, want at most %d", s, size, most)
		}
	}
}

// This fails when a new circl lays its keys out otherwise: mend scrub.go then.
func TestDestroyWipesTheExpandedKey(t *testing.T) {
	_, sk, _ := domainPair(t, XWing)
	if !scrub.lattice {
		t.Fatal("the scrubber does not know circl's keys")
	}
	outer := sk.xwing
	inner := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(outer), scrub.latticeKey))
	lattice := unsafe.Slice((*byte)(inner), scrub.latticeSize)
	if len(lattice) != 2*3*256 || allZero(lattice) {
		t.Fatalf("%d bytes, want the three polynomials of ML-KEM-768's s", len(lattice))
	}
	sk.Destroy()
	if !allZero(lattice) || !reflect.ValueOf(*outer).IsZero() || sk.xwing != nil {
		t.Error("something of the key is left")
	}
	var mem [RecordSize]byte
	if _, err := sk.DeriveRecord(mem[:], nil, make([]byte, XWing.EncSize())); !errors.Is(err, ErrOpen) {
		t.Error("a destroyed key derives")
	}
}

func allZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }

func FuzzRefs(f *testing.F) {
	enc := make([]byte, XWing.EncSize())
	ref := RefOf(enc)
	f.Add(uint8(4), append(append([]byte{5}, ref[:]...), make([]byte, 16)...), enc)
	f.Add(uint8(2), []byte{5}, []byte{4})
	f.Fuzz(func(t *testing.T, suite uint8, raw, enc []byte) {
		ref, ct, err := ParseRef(raw)
		if err != nil && (!errors.Is(err, ErrBlob) || ct != nil) {
			t.Fatal("another error, or bytes beside it")
		}
		if err == nil && !bytes.Equal(append(append([]byte{5}, ref[:]...), ct...), raw) {
			t.Fatal("parts are not the whole")
		}
		b, err := JoinBlob(Suite(suite), raw, enc)
		if err != nil {
			if !errors.Is(err, ErrBlob) && !errors.Is(err, ErrOpen) || b.Enc != nil {
				t.Fatal("another error, or a blob beside it")
			}
			return
		}
		if b.Encoding != EncodingRef || RefOf(b.Enc) != ref || len(b.Enc) != Suite(suite).EncSize() || len(b.CT) < TagSize {
			t.Fatal("not the blob of its parts")
		}
	})
}

func FuzzRawKeys(f *testing.F) {
	for _, s := range DomainSuites() {
		raw, _, pk := domainPair(f, s)
		f.Add(uint8(s), raw)
		f.Add(uint8(s), pk.AppendPoint(nil))
	}
	f.Fuzz(func(t *testing.T, suite uint8, raw []byte) {
		s := Suite(suite)
		if k, err := NewPublicKey(s, raw); err == nil {
			if !bytes.Equal(k.AppendPoint(nil), raw) || k.Suite() != s {
				t.Fatal("not the same when written again")
			}
		} else if !errors.Is(err, ErrKey) || k != nil {
			t.Fatal("another error, or a key beside it")
		}
		if k, err := NewPrivateKey(s, raw); err == nil {
			if len(raw) != s.PrivateSize() {
				t.Fatal("a key of another size")
			}
			k.Destroy()
		} else if !errors.Is(err, ErrKey) || k != nil {
			t.Fatal("another error, or a key beside it")
		}
	})
}

// BenchmarkRecordCold derives and opens one field, with the key expanded before, or of its serialized form.
func BenchmarkRecordCold(b *testing.B) {
	for _, s := range DomainSuites() {
		raw, sk, pk := domainPair(b, s)
		w, err := SealRefs(s, pk, "v_1", benchPlain(10))
		if err != nil {
			b.Fatal(err)
		}
		blob, err := JoinBlob(s, w.Fields["field_00"], w.Enc)
		if err != nil {
			b.Fatal(err)
		}
		var mem [RecordSize]byte
		name, dst := []byte("field_00"), make([]byte, 0, 64)
		open := func(b *testing.B, sk *PrivateKey) {
			r, err := sk.DeriveRecord(mem[:], []byte("v_1"), w.Enc)
			if err != nil {
				b.Fatal(err)
			}
			if _, err = r.Open(dst, name, blob); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("%v/expanded", s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open(b, sk)
			}
		})
		b.Run(fmt.Sprintf("%v/serialized", s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sk, err := NewPrivateKey(s, raw)
				if err != nil {
					b.Fatal(err)
				}
				open(b, sk)
				sk.Destroy()
			}
		})
		b.Run(fmt.Sprintf("%v/record", s), func(b *testing.B) {
			r := LoadRecord(mem[:])
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Open(dst, name, blob); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("X-Wing/crypto-hpke", func(b *testing.B) {
		raw, _, pk := domainPair(b, XWing)
		kem, kdf, aead := stdSuite(b, XWing)
		w, err := SealRefs(XWing, pk, "v_1", benchPlain(1))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			k, err := kem.NewPrivateKey(raw)
			if err != nil {
				b.Fatal(err)
			}
			r, err := hpke.NewRecipient(w.Enc, k, kdf, aead, []byte("v_1"))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.Export("redoubt/v4/record", 48); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("X-Wing/circl-decapsulate", func(b *testing.B) {
		_, sk, pk := domainPair(b, XWing)
		w, err := SealRefs(XWing, pk, "v_1", benchPlain(1))
		if err != nil {
			b.Fatal(err)
		}
		ss := make([]byte, xwing.SharedKeySize)
		b.ReportAllocs()
		for b.Loop() {
			sk.xwing.DecapsulateTo(ss, w.Enc)
		}
	})
}
