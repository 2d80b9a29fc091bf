package front

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

func TestScanAcceptsAndRefusesAsRFC8259(t *testing.T) {
	for _, tc := range []struct {
		doc string
		ok  bool
	}{
		{`{}`, true},
		{`[]`, true},
		{` { "a" : [ 1 , -0.5e+3 , true , false , null , "x" , {} , [] ] } `, true},
		{"\t\r\n\"x\"\n", true},
		{`"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"`, true},
		{`0`, true},
		{`-0`, true},
		{`1E9`, true},
		{``, false},
		{` `, false},
		{`{`, false},
		{`}`, false},
		{`{]`, false},
		{`[}`, false},
		{`[1}`, false},
		{`{"a":1]`, false},
		{`{"a"}`, false},
		{`{"a":}`, false},
		{`{"a":1,}`, false},
		{`{,}`, false},
		{`{a:1}`, false},
		{`{'a':1}`, false},
		{`[1,]`, false},
		{`[,1]`, false},
		{`[1 2]`, false},
		{`1 2`, false},
		{`{} {}`, false},
		{`01`, false},
		{`1.`, false},
		{`.5`, false},
		{`+1`, false},
		{`-`, false},
		{`1e`, false},
		{`1e+`, false},
		{`NaN`, false},
		{`nan`, false},
		{`Infinity`, false},
		{`-inf`, false},
		{`tru`, false},
		{`truee`, false},
		{`"`, false},
		{`"\"`, false},
		{`"\x"`, false},
		{`"\u12"`, false},
		{`"\u12g4"`, false},
		{`"\ud800"`, false},
		{`"\ud800\u0041"`, false},
		{`"\udc00"`, false},
		{"\"a\nb\"", false},
		{"\"0123456789\x00abcdef\"", false},
		{"\"\xff\"", false},
		{"\xef\xbb\xbf{}", false}, // a byte order mark
		{strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), true},
		{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), false},
		{strings.Repeat(`{"a":`, maxDepth-1) + "1" + strings.Repeat("}", maxDepth-1), true},
		{strings.Repeat("[", 1<<20), false},
		{"[" + strings.Repeat("0,", maxValues-2) + "0]", true},
		{"[" + strings.Repeat("0,", maxValues-1) + "0]", false},
	} {
		name := tc.doc
		if len(name) > 40 {
			name = name[:40]
		}
		if got := checkJSON([]byte(tc.doc), maxValues) == nil; got != tc.ok {
			t.Errorf("%q: accepted %v, want %v", name, got, tc.ok)
		}
	}
}

func FuzzScanAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2,{"b":"c\u00e9"}]}`, `"\ud83d\ude00"`, `[true,false,null]`, `-1.5e-7`, `{"a":1,"a":2}`, `[[[[`, `"a` + "\x01" + `"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := checkJSON(doc, maxValues) == nil
		want := json.Valid(doc) && utf8.Valid(doc)
		if got && !want {
			t.Fatalf("accepts what encoding/json refuses")
		}
		if want && !got && !beyondBounds(doc) {
			t.Fatalf("refuses what encoding/json accepts")
		}
		if got {
			var p fastjson.Parser
			if _, err := p.ParseBytes(doc); err != nil {
				t.Fatalf("the parser refuses what the scan accepts: %v", err)
			}
		}
	})
}

// beyondBounds reports whether there is a reason of ours to refuse valid JSON: depth, number of values, or a lone
// surrogate, which encoding/json replaces.
func beyondBounds(doc []byte) bool {
	return strings.Count(string(doc), "[")+strings.Count(string(doc), "{") > maxDepth ||
		strings.Count(string(doc), ",") >= maxValues-maxDepth ||
		strings.Contains(strings.ToLower(string(doc)), `\ud`)
}

func TestStringsAreEscapedAsSerdeJSONDoes(t *testing.T) {
	for in, want := range map[string]string{
		"":                      `""`,
		"plain":                 `"plain"`,
		`"\/`:                   `"\"\\/"`,
		"\b\f\n\r\t":            `"\b\f\n\r\t"`,
		"\x00\x01\x1f\x7f":      `"\u0000\u0001\u001f` + "\x7f" + `"`,
		"é€😀":                   `"é€😀"`,
		"<>&\u2028":             "\"<>&\u2028\"",
		"a\xffb":                `"a` + "\uFFFD" + `b"`,
		"\xe2\x82":              "\"\uFFFD\uFFFD\"",
		strings.Repeat("x", 99): `"` + strings.Repeat("x", 99) + `"`,
	} {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		if got := string(appendString([]byte(nil), []byte(in))); got != want {
			t.Errorf("bytes %q: %s, want %s", in, got, want)
		}
	}
}

func FuzzStringRoundTrips(f *testing.F) {
	f.Add("a\"\\\x00é😀")
	f.Fuzz(func(t *testing.T, s string) {
		out := appendString(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("not JSON: %v", err)
		}
		if want := strings.ToValidUTF8(s, ""); utf8.ValidString(s) && back != want {
			t.Fatalf("%q became %q", s, back)
		}
		if len(out) > maxEscaped*len(s)+2 {
			t.Fatalf("%d bytes became %d", len(s), len(out))
		}
		if n := escapedLen([]byte(s)); n != len(out)-2 {
			t.Fatalf("%d bytes were said, %d are needed", n, len(out)-2)
		}
	})
}

func TestBase64IsStrict(t *testing.T) {
	for in, want := range map[string]string{"": "", "Qm9i": "Bob", "QQ==": "A", "QUI=": "AB", "+/+/": "\xfb\xff\xbf"} {
		got, err := appendBase64([]byte("x"), []byte(in))
		if err != nil || string(got) != "x"+want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{
		"Q", "QQ", "QQ=", "QQ===", "QR==", "QUJ=", "Qm9i\n", "Qm\n9", "Qm9i\r\n\r\n", " Qm9i", "Qm9i ", "-_-_", "Q=Q=", "====", "QQ==QQ==",
	} {
		if got, err := appendBase64([]byte("x"), []byte(in)); err == nil || string(got) != "x" {
			t.Errorf("%q accepted: %q", in, got)
		}
	}
}
