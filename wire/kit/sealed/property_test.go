package sealed

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var nameGen = rapid.StringMatching(`[a-z][a-z0-9_]{0,40}`)

// spoil writes a name as a careless caller would.
func spoil(t *rapid.T, name string) string {
	if rapid.Bool().Draw(t, "upper") {
		name = strings.ToUpper(name)
	}
	return rapid.SampledFrom([]string{"", " ", "\t\n"}).Draw(t, "space") + name
}

func TestWhatIsSealedOpensToItselfInAnySubsetAndOrder(t *testing.T) {
	pairs := map[Suite]pair{}
	for _, s := range Suites() {
		pairs[s] = newPair(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom([]Suite{P256, P256, P256, P384, P521}).Draw(t, "suite")
		e := rapid.SampledFrom([]Encoding{EncodingField, EncodingRecord}).Draw(t, "encoding")
		info := rapid.String().Draw(t, "info")
		fields := rapid.MapOfN(nameGen, rapid.SliceOf(rapid.Byte()), 1, 3).Draw(t, "fields")
		in := make(map[string][]byte)
		for name, v := range fields {
			in[spoil(t, name)] = v
		}
		p := pairs[s]
		out, err := Seal(e, s, p.pk, info, in)
		if err != nil || len(out) != len(fields) {
			t.Fatalf("%d fields, %v", len(out), err)
		}
		var mem [ContextSize]byte
		for name := range fields {
			if detected, err := Detect(out[name]); err != nil || detected != e {
				t.Fatal("detected otherwise")
			}
			blob, err := ParseBlob(s, e, out[name])
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.sk.Derive(mem[:], []byte(info), blob.Enc)
			if err != nil {
				t.Fatal(err)
			}
			// The same context opens any field of its encapsulation, any number of times.
			for range 2 {
				plain, err := c.Open([]byte("-"), []byte(name), blob)
				if err != nil || !bytes.Equal(plain[1:], fields[name]) {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestHexFormIsTheInverseOfHex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(Suites()).Draw(t, "suite")
		enc := append([]byte{4}, rapid.SliceOfN(rapid.Byte(), s.EncSize()-1, s.EncSize()-1).Draw(t, "enc")...)
		ct := rapid.SliceOfN(rapid.Byte(), TagSize, 200).Draw(t, "ct")
		raw, err := AppendHex(nil, s, []byte(hex.EncodeToString(enc)+"#"+hex.EncodeToString(ct)))
		if err != nil || !bytes.Equal(raw, append(enc, ct...)) {
			t.Fatal(err)
		}
	})
}
