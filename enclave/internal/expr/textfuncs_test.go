package expr

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"
)

// TestCaseMappingIsFull compares with Python's full mappings: special letters, final sigma, titlecase letters.
func TestCaseMappingIsFull(t *testing.T) {
	data, err := os.ReadFile("testdata/casemap.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct{ Text, Upper, Lower string }
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 100 {
		t.Fatalf("only %d rows", len(rows))
	}
	special := map[string]bool{}
	for _, r := range rows {
		special[r.Text] = true
		if got := upper(r.Text); got != r.Upper {
			t.Errorf("upper(%+q) = %+q, want %+q", r.Text, got, r.Upper)
		}
		if got := lower(r.Text); got != r.Lower {
			t.Errorf("lower(%+q) = %+q, want %+q", r.Text, got, r.Lower)
		}
	}
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if s := string(c); utf8.ValidRune(c) && !special[s] && unicode.IsLetter(c) {
			if got := upper(s); got != string(unicode.ToUpper(c)) {
				t.Errorf("upper(%+q) = %+q", s, got)
			}
			if got := lower(s); got != string(unicode.ToLower(c)) {
				t.Errorf("lower(%+q) = %+q", s, got)
			}
		}
	}
}

// TestBase64RoundTripsAndIsCanonical: what is encoded is decoded, and only one text decodes to a value.
func TestBase64RoundTripsAndIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		encoded := base64.StdEncoding.EncodeToString([]byte(s))
		if got := decodeBase64(encoded); got != types.String(s) {
			t.Fatalf("decode(encode(%q)) = %v", s, got)
		}
		mutated := []byte(encoded + "A")
		at := rapid.IntRange(0, len(mutated)-1).Draw(t, "at")
		mutated[at] = rapid.Byte().Draw(t, "b")
		if got, ok := decodeBase64(string(mutated)).(types.String); ok &&
			base64.StdEncoding.EncodeToString([]byte(got)) != string(mutated) {
			t.Fatalf("%q is not the encoding of what it decodes to", mutated)
		}
	})
}

// TestHexRoundTripsAndIsCanonical: as for base64; upper-case digits are refused.
func TestHexRoundTripsAndIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		encoded := hex.EncodeToString([]byte(s))
		if got := decodeHex(encoded); got != types.String(s) {
			t.Fatalf("decode(encode(%q)) = %v", s, got)
		}
		mutated := []byte(encoded + "00")
		at := rapid.IntRange(0, len(mutated)-1).Draw(t, "at")
		mutated[at] = rapid.Byte().Draw(t, "b")
		if got, ok := decodeHex(string(mutated)).(types.String); ok && hex.EncodeToString([]byte(got)) != string(mutated) {
			t.Fatalf("%q is not the encoding of what it decodes to", mutated)
		}
	})
}

// TestMaskNeverShowsMoreThanHalf, whatever is asked for, and keeps the number of characters.
func TestMaskNeverShowsMoreThanHalf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ReplaceAll(rapid.String().Draw(t, "s"), "*", "x")
		n := rapid.IntRange(0, 40).Draw(t, "n")
		m := mask(s, n)
		count := utf8.RuneCountInString(s)
		shown := strings.TrimLeft(m, "*")
		if utf8.RuneCountInString(m) != count || utf8.RuneCountInString(shown) > min(n, count/2) ||
			!strings.HasSuffix(s, shown) {
			t.Fatalf("mask(%q, %d) = %q", s, n, m)
		}
	})
}

// TestFirstAndLastSplitAString: the first n characters and the last of the rest are the string.
func TestFirstAndLastSplitAString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		count := utf8.RuneCountInString(s)
		n := rapid.IntRange(0, count+3).Draw(t, "n")
		if got := first(s, n) + last(s, max(count-n, 0)); got != s {
			t.Fatalf("first(%q, %d) + last of the rest = %q", s, n, got)
		}
	})
}

// TestMaskArguments: numbers that make no sense fail, however large.
func TestMaskArguments(t *testing.T) {
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		"name.mask(-1)":                   "error: input",
		"name.first(-1)":                  "error: input",
		"name.last(-9223372036854775808)": "error: input",
		"name.last(9223372036854775807)":  `"Bob"`,
		"name.mask(9223372036854775807)":  `"***"`,
		"name.first(0)":                   `""`,
		"name.first('1')":                 "error: type",
		"name.first(1u)":                  "error: type",
		"name.first(note)":                "error: type",
		"note.mask()":                     "error: type",
		"note.mask(2)":                    "error: type",
		"''.mask()":                       `""`,
		"'日本語日本語日本'.mask(2)":              `"******日本"`,
		"name.mask":                       "error: input",
	} {
		if got := eval1(t, e, documented, source); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

// TestHMACWithoutKeyFails: none configured, none at the moment, and a source of keys that panics.
func TestHMACWithoutKeyFails(t *testing.T) {
	none, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got := eval1(t, none, documented, "name.hmac_sha256()"); got != "error: key" {
		t.Errorf("no key configured: %s", got)
	}
	if got := eval1(t, newTest(t, Config{MAC: noKey{}}), documented, "name.hmac_sha256()"); got != "error: key" {
		t.Errorf("no key at the moment: %s", got)
	}
	broken := newTest(t, Config{MAC: brokenMAC{}})
	if got := eval1(t, broken, documented, "name.hmac_sha256()"); got != "error: internal" {
		t.Errorf("panic: %s", got)
	}
	if got := eval1(t, broken, documented, "name"); got != `"Bob"` {
		t.Errorf("after a panic: %s", got)
	}
}

// TestDecodersRefuseWhatIsNotUTF8 and do not leave it behind.
func TestDecodersRefuseWhatIsNotUTF8(t *testing.T) {
	raw := bytes.Repeat([]byte{0xff}, 9)
	if got := decodeHex(hex.EncodeToString(raw)); !types.IsError(got) {
		t.Errorf("hex: %v", got)
	}
	if got := decodeBase64(base64.StdEncoding.EncodeToString(raw)); !types.IsError(got) {
		t.Errorf("base64: %v", got)
	}
}
