package sealed

import (
	"errors"
	"slices"
	"testing"
)

// refused checks that raw is not opened, by the one error of its stage, and that a caller who opens it in parts
// gets no byte of plaintext.
func refused(t *testing.T, sk *PrivateKey, info, name string, e Encoding, raw []byte, what string) {
	t.Helper()
	plain, err := openOnce(sk, info, name, e, raw)
	if err == nil || len(plain) != 0 {
		t.Fatalf("%s: opened", what)
	}
	if err != ErrOpen && err != ErrBlob { //nolint:errorlint // not even wrapped: nothing may tell failures apart
		t.Fatalf("%s: another error", what)
	}
}

// SECURITY.md, check 21 and 26: whichever bit of a sealed field changes, it is refused. Encoding 1 is changed as it is
// stored, in TestAnyFlippedBitOfAStoredHexFieldIsRefused.
func TestAnyFlippedBitIsRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		for _, e := range []Encoding{EncodingField, EncodingRecord} {
			raw := sealOne(t, e, p, "v_1", "ssn", "123")
			for i := range raw {
				for bit := range 8 {
					if s == P521 && i < len(raw)-TagSize-3 && bit != i%8 {
						continue // 2 ms each, 20 with -race: in the point, one bit of each byte
					}
					raw[i] ^= 1 << bit
					refused(t, p.sk, "v_1", "ssn", e, raw, "flipped")
					raw[i] ^= 1 << bit
				}
			}
			if _, err := openOnce(p.sk, "v_1", "ssn", e, raw); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
		}
	})
}

func TestAnyFlippedBitOfAStoredHexFieldIsRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		text := hexForm(s, sealOne(t, EncodingField, p, "v_1", "ssn", "123"))
		for i := range text {
			for bit := range 8 {
				if s != P256 && i < 2*s.EncSize() && bit != i%8 {
					continue // as above; what stays a digit changes the point's bits, all of which are flipped there
				}
				text[i] ^= 1 << bit
				raw, err := AppendHex(nil, s, text)
				if err == nil {
					refused(t, p.sk, "v_1", "ssn", EncodingHex, raw, "flipped")
				} else if err != ErrBlob || len(raw) != 0 { //nolint:errorlint // not even wrapped
					t.Fatal("flipped: another error")
				}
				text[i] ^= 1 << bit
			}
		}
		raw, err := AppendHex(nil, s, text)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := openOnce(p.sk, "v_1", "ssn", EncodingHex, raw); err != nil || string(plain) != "123" {
			t.Fatalf("unchanged: %v", err)
		}
	})
}

func TestAnyFlippedBitIsRefusedWithACachedContext(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		for e := EncodingHex; e <= EncodingRecord; e++ {
			blob, err := ParseBlob(s, e, sealOne(t, e, p, "v_1", "ssn", "123-45-6789"))
			if err != nil {
				t.Fatal(err)
			}
			var mem [ContextSize]byte
			c, err := p.sk.Derive(mem[:], []byte("v_1"), blob.Enc)
			if err != nil {
				t.Fatal(err)
			}
			for i := range blob.CT {
				for bit := range 8 {
					blob.CT[i] ^= 1 << bit
					if plain, err := c.Open(nil, []byte("ssn"), blob); err != ErrOpen || len(plain) != 0 { //nolint:errorlint // exact
						t.Fatal("flipped: opened")
					}
					blob.CT[i] ^= 1 << bit
				}
			}
		}
	})
}

// SECURITY.md, check 25, and truncation, extension and swapped parts.
func TestMovedAndMixedFieldsAreRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p, other := newPair(t, s), newPair(t, s)
		for e := EncodingHex; e <= EncodingRecord; e++ {
			seal := func(vault string) map[string][]byte {
				out, err := Seal(max(e, EncodingField), s, p.pk, vault, map[string][]byte{"ssn": []byte("123456789"), "dob": []byte("1979-01-01")})
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			a, b := seal("v_1"), seal("v_1")
			head := len(a["ssn"]) - len("123456789") - TagSize
			refused(t, p.sk, "v_1", "dob", e, a["ssn"], "moved to another field")
			refused(t, p.sk, "v_2", "ssn", e, a["ssn"], "moved to another vault")
			refused(t, p.sk, "v_", "1ssn", e, a["ssn"], "border between vault and name moved")
			refused(t, p.sk, "v_1", "SSN", e, a["ssn"], "name in another case")
			refused(t, p.sk, "v_1", "ssn ", e, a["ssn"], "name with a space")
			refused(t, p.sk, "v_1", "", e, a["ssn"], "no name")
			refused(t, other.sk, "v_1", "ssn", e, a["ssn"], "another key")
			refused(t, p.sk, "v_1", "ssn", e, slices.Concat(a["ssn"][:head], b["ssn"][head:]), "ciphertext of another record")
			refused(t, p.sk, "v_1", "ssn", e, slices.Concat(a["ssn"][:head], a["dob"][head:]), "ciphertext of another field")
			refused(t, p.sk, "v_1", "ssn", e, append(slices.Clone(a["ssn"]), 0), "one byte more")
			for n := range a["ssn"] {
				refused(t, p.sk, "v_1", "ssn", e, a["ssn"][:n], "cut")
			}
		}
	})
}

// An encapsulation that is used under one encoding gives nothing under another.
func TestAnotherEncodingIsRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		two := sealOne(t, EncodingField, p, "v_1", "ssn", "1")
		three := sealOne(t, EncodingRecord, p, "v_1", "ssn", "1")
		refused(t, p.sk, "v_1", "ssn", EncodingRecord, two, "2 as 3")
		refused(t, p.sk, "v_1", "ssn", EncodingRecord, append([]byte{3}, two...), "2 dressed as 3")
		refused(t, p.sk, "v_1", "ssn", EncodingField, three, "3 as 2")
		refused(t, p.sk, "v_1", "ssn", EncodingField, three[1:], "3 dressed as 2")
		refused(t, p.sk, "v_1", "ssn", EncodingHex, three, "3 as 1")
		refused(t, p.sk, "v_1", "ssn", 0, two, "no encoding")
		refused(t, p.sk, "v_1", "ssn", 4, three, "unknown encoding")
	})
}

// Encapsulated keys that are no points: infinity, compressed, off the curve, coordinates beyond the field.
func TestBadPointsAreRefused(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		raw := sealOne(t, EncodingField, p, "v_1", "ssn", "1")
		n := s.EncSize()
		for name, change := range map[string]func(b []byte){
			"zeros":           func(b []byte) { clear(b[1:n]) },
			"compressed":      func(b []byte) { b[0] = 2 | b[n-1]&1 },
			"hybrid":          func(b []byte) { b[0] = 6 | b[n-1]&1 },
			"infinity":        func(b []byte) { clear(b[:n]) },
			"x of all ones":   func(b []byte) { fill(b[1:1+n/2], 0xff) },
			"y of all ones":   func(b []byte) { fill(b[1+n/2:n], 0xff) },
			"x and y swapped": func(b []byte) { copy(b[1:], slices.Concat(b[1+n/2:n], b[1:1+n/2])) },
		} {
			bad := slices.Clone(raw)
			change(bad)
			refused(t, p.sk, "v_1", "ssn", EncodingField, bad, name)
			var mem [ContextSize]byte
			if _, err := p.sk.Derive(mem[:], []byte("v_1"), bad[:n]); !errors.Is(err, ErrOpen) {
				t.Errorf("%s: derived", name)
			}
			if mem != [ContextSize]byte{} {
				t.Errorf("%s: something was left in the context's memory", name)
			}
		}
	})
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func TestFailedOpenLeavesDestinationAlone(t *testing.T) {
	p := newPair(t, P256)
	blob, err := ParseBlob(P256, EncodingField, sealOne(t, EncodingField, p, "v_1", "ssn", "123456789"))
	if err != nil {
		t.Fatal(err)
	}
	var mem [ContextSize]byte
	c, err := p.sk.Derive(mem[:], []byte("v_1"), blob.Enc)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4, 64)
	copy(buf, "kept")
	out, err := c.Open(buf, []byte("dob"), blob)
	if !errors.Is(err, ErrOpen) || string(out) != "kept" {
		t.Errorf("got %q, %v", out, err)
	}
	for _, b := range buf[4:cap(buf)] {
		if b != 0 {
			t.Fatal("plaintext of a refused field in the spare capacity")
		}
	}
	if out, err = c.Open(buf, []byte("ssn"), blob); err != nil || string(out) != "kept123456789" || &out[0] != &buf[0] {
		t.Errorf("appended %q, %v", out, err)
	}
}
