package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// maxValues bounds the values of a document of these tests.
const maxValues = 4096

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
		{strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), true},
		{strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), false},
		{strings.Repeat(`{"a":`, MaxDepth-1) + "1" + strings.Repeat("}", MaxDepth-1), true},
		{strings.Repeat("[", 1<<20), false},
		{"[" + strings.Repeat("0,", maxValues-2) + "0]", true},
		{"[" + strings.Repeat("0,", maxValues-1) + "0]", false},
	} {
		name := tc.doc
		if len(name) > 40 {
			name = name[:40]
		}
		if got := Check([]byte(tc.doc), maxValues) == nil; got != tc.ok {
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
		got := Check(doc, maxValues) == nil
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
	return strings.Count(string(doc), "[")+strings.Count(string(doc), "{") > MaxDepth ||
		strings.Count(string(doc), ",") >= maxValues-MaxDepth ||
		strings.Contains(strings.ToLower(string(doc)), `\ud`)
}
