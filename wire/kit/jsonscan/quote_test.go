package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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
		if got := string(AppendString(nil, []byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzStringsAgreeWithEncodingJSON(f *testing.F) {
	var all []byte
	for c := range 0x100 {
		all = append(all, byte(c))
	}
	f.Add(string(all))
	f.Add("a\"\\\x00é😀\u2028\xff\xe2\x82<")
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendString([]byte("x"), []byte(s))
		if n := EscapedLen([]byte(s)); n != len(got)-3 || n > MaxEscaped*len(s) {
			t.Fatalf("%d bytes were said, %d are needed", n, len(got)-3)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		// encoding/json escapes three characters more, for JavaScript's and browsers' sake.
		theirs := strings.TrimSuffix(want.String(), "\n")
		var plain strings.Builder
		for i := 0; i < len(theirs); i++ {
			switch rest := theirs[i:]; {
			case strings.HasPrefix(rest, `\u2028`), strings.HasPrefix(rest, `\u2029`), strings.HasPrefix(rest, `\ufffd`):
				var c string
				if err := json.Unmarshal([]byte(`"`+rest[:6]+`"`), &c); err != nil {
					t.Fatal(err)
				}
				plain.WriteString(c)
				i += 5
			case rest[0] == '\\':
				plain.WriteString(rest[:2])
				i++
			default:
				plain.WriteByte(rest[0])
			}
		}
		if string(got[1:]) != plain.String() {
			t.Fatalf("%q, encoding/json has %q", got[1:], plain.String())
		}
		if Check(got[1:], 1) != nil {
			t.Fatal("Check refuses it")
		}
	})
}

// texts are what benchmarks quote.
var texts = map[string]string{
	"short":   "123-45-6789",
	"plain":   strings.Repeat("Ada Lovelace, 12 Main Street. ", 34),
	"escaped": strings.Repeat("line \"1\"\n\tC:\\temp ", 53),
	"greek":   strings.Repeat("Υπατία η Αλεξανδρινή, ", 25),
}

func BenchmarkAppendString(b *testing.B) {
	for name, s := range texts {
		b.Run(name, func(b *testing.B) {
			in, dst := []byte(s), make([]byte, 0, 8*len(s))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendString(dst[:0], in)
			}
		})
	}
}

func BenchmarkEscapedLen(b *testing.B) {
	for name, s := range texts {
		b.Run(name, func(b *testing.B) {
			in := []byte(s)
			b.ReportAllocs()
			for b.Loop() {
				_ = EscapedLen(in)
			}
		})
	}
}
