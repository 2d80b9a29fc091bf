package reply

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

type octets []byte

func (o *octets) UnmarshalJSON(b []byte) (err error) {
	*o, err = hex.DecodeString(string(bytes.Trim(b, `"`)))
	return err
}

type result struct {
	Name                             string
	Type                             Type
	Value, Body, Key, Nonce, AAD, CT octets
}

type vectors struct {
	Sizes   []struct{ Length, Padme, Sealed int }
	Replies []struct {
		Suite      string
		VaultID    string `json:"vault_id"`
		PrivateKey octets `json:"private_key"`
		Info, Enc  octets
		Exporter   octets `json:"exporter_secret"`
		Results    []result
	}
	Invalid []struct {
		Name string
		Body octets
	}
}

func load(tb testing.TB) (v vectors) {
	tb.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	for i, name := range sealed.SuiteNames() {
		if err == nil && (i >= len(v.Replies) || v.Replies[i].Suite != name) {
			tb.Fatalf("no vectors of %s: testdata/make_vectors.py", name)
		}
	}
	if err != nil || len(v.Invalid) == 0 || len(v.Sizes) == 0 {
		tb.Fatal("vectors: ", err)
	}
	return v
}

func TestRepliesOfAnotherImplementationOpen(t *testing.T) {
	for _, r := range load(t).Replies {
		suite, err := sealed.SuiteNamed(r.Suite)
		if err != nil {
			t.Fatal(r.Suite)
		}
		key, err := sealed.ParsePrivateKey(suite, r.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		if Info(r.VaultID) != string(r.Info) {
			t.Errorf("%s: info is %q", r.Suite, Info(r.VaultID))
		}
		for _, v := range r.Results {
			blob := append(append([]byte{3}, r.Enc...), v.CT...)
			got, err := Open(key, r.VaultID, v.Name, blob)
			if err != nil || got.Type != v.Type || !bytes.Equal(got.Data, v.Value) {
				t.Errorf("%s: %s: %v, %d, %q", r.Suite, v.Name, err, got.Type, got.Data)
			}
			if body := Append(nil, v.Type, v.Value); !bytes.Equal(body, v.Body) {
				t.Errorf("%s: %s: body is %x", r.Suite, v.Name, body)
			}
			for _, other := range []struct{ vault, name string }{{r.VaultID + "x", v.Name}, {r.VaultID, "other"}, {r.VaultID, "!"}} {
				if _, err := Open(key, other.vault, other.name, blob); !errors.Is(err, ErrOpen) {
					t.Errorf("%s: %s opens as %v", r.Suite, v.Name, other)
				}
			}
		}
	}
}

func TestSizesAreThoseOfAnotherImplementation(t *testing.T) {
	for _, s := range load(t).Sizes {
		if Padme(s.Length) != s.Padme || Size(s.Length) != s.Sealed {
			t.Errorf("%d: %d and %d, want %d and %d", s.Length, Padme(s.Length), Size(s.Length), s.Padme, s.Sealed)
		}
	}
}

func TestBodiesThatAreNotPaddedExactlyAreRefused(t *testing.T) {
	for _, v := range load(t).Invalid {
		if _, err := Parse(v.Body); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: accepted", v.Name)
		}
	}
}

// class is the size of a value's class, as Padmé's paper has it.
func class(n int) int {
	l := float64(max(256, n+5))
	e := math.Floor(math.Log2(l))
	s := math.Floor(math.Log2(e)) + 1
	step := math.Exp2(e - s)
	return int(math.Ceil(l/step) * step)
}

// TestASealedReplyTellsOnlyItsClass: values of one class give blobs of one length, and true, false, null, the empty
// string and every problem are of the same.
func TestASealedReplyTellsOnlyItsClass(t *testing.T) {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := sealed.ParsePublicKey(sealed.P256, spki)
	if err != nil {
		t.Fatal(err)
	}
	length := func(typ Type, v []byte) int {
		out, err := sealed.SealRecord(sealed.P256, pub, Info("v"), map[string][]byte{"n": Append(nil, typ, v)})
		if err != nil {
			t.Fatal(err)
		}
		return len(out["n"])
	}
	least := length(String, nil)
	for _, v := range []string{"true", "false", "null", "0", "[1,2,3]"} {
		if n := length(JSON, []byte(v)); n != least {
			t.Errorf("%s takes %d bytes, not %d", v, n, least)
		}
	}
	for c := wire.BadRequest; int(c) < wire.Codes; c++ {
		for kind := range wire.ExpressionKind(wire.ExpressionKinds) {
			f := wire.Failure{Kind: kind, Line: math.MaxUint32, Column: math.MaxUint32}
			if n := length(Problem, wire.AppendProblem(nil, c, f)); n != least {
				t.Errorf("%v, %v takes %d bytes, not %d", c, kind, n, least)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 1<<18)).Draw(t, "length")
		most := n
		for class(most+1) == class(n) {
			most++
		}
		if a, b := length(String, make([]byte, n)), length(JSON, make([]byte, most)); a != b {
			t.Fatalf("%d and %d bytes take %d and %d", n, most, a, b)
		}
	})
}

func TestPaddingIsTakenOffAndCostsLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(0, 2<<20)).Draw(t, "length")
		typ := Type(rapid.IntRange(1, 3).Draw(t, "type"))
		value := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
		body := Append([]byte("before"), typ, value)
		if len(body) != len("before")+Size(n) || len(body) > len("before")+max(MinSize, (head+n)*17/16) {
			t.Fatalf("%d bytes for %d", len(body), n)
		}
		got, err := Parse(body[len("before"):])
		if err != nil || got.Type != typ || !bytes.Equal(got.Data, value) {
			t.Fatalf("%v: type %d, %d bytes", err, got.Type, len(got.Data))
		}
	})
}

func FuzzWhatParsesIsWhatWasAppended(f *testing.F) {
	v := load(f)
	for _, r := range v.Replies[0].Results {
		f.Add([]byte(r.Body))
	}
	for _, i := range v.Invalid {
		f.Add([]byte(i.Body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Parse(body)
		if err == nil && !bytes.Equal(Append(nil, got.Type, got.Data), body) {
			t.Error("two bodies for one value")
		}
	})
}
