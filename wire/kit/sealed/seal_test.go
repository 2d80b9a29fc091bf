package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSealNormalisesNames(t *testing.T) {
	p := newPair(t, P256)
	for _, e := range []Encoding{EncodingField, EncodingRecord} {
		out, err := Seal(e, P256, p.pk, "v_1", map[string][]byte{" First_Name\t": []byte("Bob"), "SSN4": []byte("6789")})
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != 2 || out["first_name"] == nil || out["ssn4"] == nil {
			t.Fatalf("%d fields", len(out))
		}
		if plain, err := openOnce(p.sk, "v_1", "first_name", e, out["first_name"]); err != nil || string(plain) != "Bob" {
			t.Error(err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	p := newPair(t, P256)
	one := func(name string) map[string][]byte { return map[string][]byte{name: []byte("x")} }
	for _, c := range []struct {
		what   string
		suite  Suite
		pub    *PublicKey
		fields map[string][]byte
		want   error
	}{
		{"two names that become equal", P256, p.pk, map[string][]byte{"ssn4": {1}, "SSN4 ": {2}}, ErrSameName},
		{"an empty name", P256, p.pk, one(" "), ErrName},
		{"a reserved name", P256, p.pk, one("_sk"), ErrName},
		{"a name with a dash", P256, p.pk, one("first-name"), ErrName},
		{"a name of a digit", P256, p.pk, one("1a"), ErrName},
		{"a name of other letters", P256, p.pk, one("naïve"), ErrName},
		{"a Kelvin sign, which is k in lower case", P256, p.pk, one("\u212a"), ErrName},
		{"a name that is too long", P256, p.pk, one(strings.Repeat("a", MaxName+1)), ErrName},
		{"a key of another suite", P384, p.pk, one("a"), ErrKey},
		{"no key", P256, nil, one("a"), ErrKey},
		{"no suite", 0, p.pk, one("a"), ErrKey},
	} {
		for _, e := range []Encoding{EncodingField, EncodingRecord} {
			if out, err := Seal(e, c.suite, c.pub, "v_1", c.fields); !errors.Is(err, c.want) || out != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		}
	}
	for _, e := range []Encoding{0, EncodingHex, 4} {
		if _, err := Seal(e, P256, p.pk, "v_1", one("a")); !errors.Is(err, ErrEncoding) {
			t.Errorf("encoding %d was written", e)
		}
	}
}

func TestEverySealHasAnEncapsulationOfItsOwn(t *testing.T) {
	p := newPair(t, P256)
	seen := make(map[string]bool)
	for range 50 {
		raw := sealOne(t, EncodingRecord, p, "v_1", "ssn", "1")
		enc := string(raw[1 : 1+P256.EncSize()])
		if seen[enc] {
			t.Fatal("two writes share an encapsulated key")
		}
		seen[enc] = true
	}
	out, err := SealFields(P256, p.pk, "v_1", map[string][]byte{"a": {1}, "b": {2}})
	if err != nil || bytes.Equal(out["a"][:65], out["b"][:65]) {
		t.Error("two fields of encoding 2 share an encapsulated key", err)
	}
}

// Equal plaintexts of one record must not show, although they share the encapsulation.
func TestFieldsOfARecordHaveKeysOfTheirOwn(t *testing.T) {
	p := newPair(t, P256)
	out, err := SealRecord(P256, p.pk, "v_1", map[string][]byte{"a": []byte("same text"), "b": []byte("same text")})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := out["a"][66:], out["b"][66:]; bytes.Equal(a[:9], b[:9]) || bytes.Equal(a[9:], b[9:]) {
		t.Error("two fields share a key stream")
	}
}

func TestSealOfNothingIsNothing(t *testing.T) {
	p := newPair(t, P256)
	if out, err := SealRecord(P256, p.pk, "v_1", nil); err != nil || len(out) != 0 {
		t.Error(out, err)
	}
}

// A source of randomness that ends must not make a weak encapsulation.
func TestSealFailsWithoutRandomness(t *testing.T) {
	p := newPair(t, P256)
	for _, r := range []io.Reader{bytes.NewReader(make([]byte, 31)), iotestErr{}} {
		if _, _, err := setupSender(r, p.pk, "v_1"); !errors.Is(err, ErrSeal) {
			t.Error(err)
		}
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, fmt.Errorf("no entropy") }
