package front

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

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
