package sealed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"redoubt/wire/kit/sealed/internal/s2nbignum"
	"redoubt/wire/kit/secret"
)

// at is a place in memory; a struct and its first field share an address, but not a type.
type at struct {
	reflect.Type
	uintptr
}

// copiesOf counts the byte slices reachable from v, through private fields too, that hold want. It knows nothing of
// the types: it checks the scrubber without its help.
func copiesOf(v reflect.Value, want []byte, seen map[at]bool) (n int) {
	switch v.Kind() {
	case reflect.Pointer:
		here := at{v.Type(), v.Pointer()}
		if v.IsNil() || seen[here] {
			return 0
		}
		seen[here] = true
		return copiesOf(v.Elem(), want, seen)
	case reflect.Interface:
		if !v.IsNil() {
			return copiesOf(v.Elem(), want, seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += copiesOf(v.Field(i), want, seen)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && bytes.Equal(v.Bytes(), want) {
			return 1
		}
	}
	return n
}

// This fails when a new toolchain lays its keys out otherwise: mend scrub.go then.
func TestDestroyWipesTheLibrariesCopiesOfTheScalar(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		key := *p.sk // Destroy forgets what it wipes
		count := func() int { return copiesOf(reflect.ValueOf(&key), p.std.Bytes(), make(map[at]bool)) }
		want := 2 // of crypto/ecdh
		if s2nbignum.Has(s.Curve()) {
			want = 1 // ours
		}
		if n := count(); n != want {
			t.Fatalf("there are %d copies of the scalar, the scrubber knows %d", n, want)
		}
		p.sk.Destroy()
		if n := count(); n != 0 {
			t.Errorf("%d copies left", n)
		}
		if scalars, ciphers := Scrubs(); !scalars || !ciphers {
			t.Error(scalars, ciphers)
		}
	})
}

func TestKeySchedulesAreWiped(t *testing.T) {
	key := bytes.Repeat([]byte{0x5a}, keySize)
	block, aead, err := newAEAD(key)
	if err != nil {
		t.Fatal(err)
	}
	b, a := reflect.ValueOf(block).Elem(), reflect.ValueOf(aead).Elem()
	if b.IsZero() || a.IsZero() {
		t.Fatal("nothing to wipe")
	}
	wipeCipher(block, aead)
	if !b.IsZero() || !a.IsZero() {
		t.Error("something is left")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	p := newPair(t, P256)
	var mem [ContextSize]byte
	c, err := p.sk.Derive(mem[:], nil, p.pk.point)
	if err != nil {
		t.Fatal(err)
	}
	hidden := map[string]string{
		"scalar": fmt.Sprintf("%x", p.std.Bytes()), "AEAD key": fmt.Sprintf("%x", c.key()),
		"decimal bytes": strings.Trim(fmt.Sprintf("%d", c.key()[:8]), "[]"),
	}
	f := LoadField(c.mem[:FieldSize])
	for _, v := range []any{p.sk, c, &c, f, struct{ K *PrivateKey }{p.sk}, map[string]any{"c": c}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Error(err)
		}
		text := strings.ToLower(out.String())
		for what, h := range hidden {
			if strings.Contains(text, h) {
				t.Errorf("%T shows the %s", v, what)
			}
		}
		if !strings.Contains(text, secret.Redacted) {
			t.Errorf("%T: %s", v, text)
		}
	}
}

// the design's targets counts the set-up of an AEAD apart; there must be nothing beside it.
func TestHotOpenAllocatesNothingButTheAEAD(t *testing.T) {
	p := newPair(t, P384)
	key := make([]byte, keySize)
	setup := testing.AllocsPerRun(100, func() {
		block, aead, err := newAEAD(key)
		if err != nil {
			t.Fatal(err)
		}
		wipeCipher(block, aead)
	})
	name, dst := []byte("ssn"), make([]byte, 0, 64)
	for e, most := range map[Encoding]float64{EncodingField: setup, EncodingRecord: setup + 16} {
		blob, err := ParseBlob(P384, e, sealOne(t, e, p, "v_1", "ssn", "123456789"))
		if err != nil {
			t.Fatal(err)
		}
		var mem [ContextSize]byte
		c, err := p.sk.Derive(mem[:], []byte("v_1"), blob.Enc)
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if _, err := c.Open(dst, name, blob); err != nil {
				t.Fatal(err)
			}
		})
		// Encoding 3 adds the exporter: one HKDF-Expand of the standard library, which cannot do without.
		if n > most {
			t.Errorf("encoding %d: %v allocations, want at most %v", e, n, most)
		}
	}
}
