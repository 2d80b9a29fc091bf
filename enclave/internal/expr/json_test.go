package expr

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"pgregory.net/rapid"
)

func toJSON(v ref.Val) (string, Kind) {
	e := encoder{limit: 1 << 20}
	e.value(v, 0)
	return string(e.out), e.err
}

// TestDoublesLookAsInRust: serde_json's layout of the shortest digits.
func TestDoublesLookAsInRust(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", -1.5: "-1.5", 0.1: "0.1", 100: "100.0",
		1e15: "1000000000000000.0", 123456789012345680: "1.2345678901234568e17", 1e16: "1e16", 1e21: "1e21",
		1.5e300: "1.5e300", 0.001: "0.001", 0.00001: "0.00001", 0.00001234: "0.00001234", 0.000001: "1e-6",
		1.5e-7: "1.5e-7", 5e-324: "5e-324", math.MaxFloat64: "1.7976931348623157e308", 9007199254740993: "9007199254740992.0",
	} {
		if got, err := toJSON(types.Double(f)); got != want || err != KindNone {
			t.Errorf("%g: %s (%v), want %s", f, got, err, want)
		}
	}
}

// TestDoublesReadBack: the text of any finite double is JSON of that double.
func TestDoublesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		text, err := toJSON(types.Double(f))
		if math.IsInf(f, 0) || math.IsNaN(f) {
			if err != KindNotJSON {
				t.Fatalf("%g: %v", f, err)
			}
			return
		}
		back, perr := strconv.ParseFloat(text, 64)
		if perr != nil || math.Float64bits(back) != math.Float64bits(f) || !json.Valid([]byte(text)) {
			t.Fatalf("%g: %s", f, text)
		}
	})
}

// TestStringsReadBack: the text of any string is JSON of that string, with no escapes but those needed.
func TestStringsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		text, err := toJSON(types.String(s))
		var back string
		if jerr := json.Unmarshal([]byte(text), &back); jerr != nil || back != s || err != KindNone {
			t.Fatalf("%q: %s (%v)", s, text, jerr)
		}
	})
	if got, _ := toJSON(types.String("a\"\\\b\f\n\r\t\x00\x1f</é\u2028")); got != `"a\"\\\b\f\n\r\t\u0000\u001f</é`+"\u2028\"" {
		t.Errorf("escapes: %s", got)
	}
	if _, err := toJSON(types.String("\xff")); err != KindNotJSON {
		t.Errorf("not UTF-8: %v", err)
	}
}

// TestTreesReadBack: lists and maps of all the rest, with keys in order.
func TestTreesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaf := rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.Int64Range(-1<<50, 1<<50), func(n int64) any { return n }),
			rapid.Just(any(nil)))
		list := rapid.Map(rapid.SliceOf(leaf), func(l []any) any { return l })
		tree := rapid.MapOf(rapid.String(), rapid.OneOf(leaf, list)).Draw(t, "tree")
		text, err := toJSON(types.DefaultTypeAdapter.NativeToValue(tree))
		want, jerr := json.Marshal(tree) // sorts keys by byte, as we do
		if jerr != nil || err != KindNone {
			t.Fatalf("%v, %v", jerr, err)
		}
		var ours, theirs bytes.Buffer // the same escapes for both
		json.HTMLEscape(&ours, []byte(text))
		json.HTMLEscape(&theirs, want)
		if ours.String() != theirs.String() {
			t.Fatalf("got %s, want %s", ours.String(), theirs.String())
		}
	})
}

// TestEncoderStopsAtItsLimit, exactly, and wipes the array that it leaves when it grows.
func TestEncoderStopsAtItsLimit(t *testing.T) {
	v := types.DefaultTypeAdapter.NativeToValue([]string{"abc", "d\ne"})
	full, _ := toJSON(v)
	for limit := range len(full) + 1 {
		e := encoder{limit: limit}
		e.value(v, 0)
		if fits := limit == len(full); fits != (e.err == KindNone) || len(e.out) > limit {
			t.Errorf("limit %d of %d: %v, wrote %d", limit, len(full), e.err, len(e.out))
		}
	}
	small := append(make([]byte, 0, 8), "secret"...)
	e := encoder{out: small, limit: 100}
	e.raw("more than fits")
	if string(e.out) != "secretmore than fits" || string(small[:6]) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("grew to %q and left %q", e.out, small)
	}
}
