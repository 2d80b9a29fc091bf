package schema

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestDefaultHasTheReferencesFieldsInItsOrder(t *testing.T) {
	want := []string{
		"email", "first_name", "middle_name", "last_name", "phone_number", "ssn9", "ssn4", "dob",
		"address1", "address2", "address3", "city", "state", "postal_code", "country",
	}
	if got := Default().Names(); !slices.Equal(got, want) {
		t.Fatalf("names = %v", got)
	}
}

func TestApplyChecksTrimsAndDerives(t *testing.T) {
	cases := map[string]struct {
		in, out map[string]string
		problem string
	}{
		"empty":                  {in: map[string]string{}, out: map[string]string{}},
		"trimmed":                {in: map[string]string{"city": "  Bern\n"}, out: map[string]string{"city": "Bern"}},
		"derived ssn4":           {in: map[string]string{"ssn9": "123456789"}, out: map[string]string{"ssn9": "123456789", "ssn4": "6789"}},
		"explicit ssn4 wins":     {in: map[string]string{"ssn9": "123456789", "ssn4": "0000"}, out: map[string]string{"ssn9": "123456789", "ssn4": "0000"}},
		"empty text allowed":     {in: map[string]string{"email": ""}, out: map[string]string{"email": ""}},
		"calendar not checked":   {in: map[string]string{"dob": "9999-99-99"}, out: map[string]string{"dob": "9999-99-99"}},
		"short ssn":              {in: map[string]string{"ssn9": "12345678"}, problem: "ssn9: " + TextPattern},
		"phone without plus":     {in: map[string]string{"phone_number": "15551234"}, problem: "phone_number: " + TextPattern},
		"line break in pattern":  {in: map[string]string{"ssn4": "1234\n5678"}, problem: "ssn4: " + TextLong},
		"country of three":       {in: map[string]string{"country": "USA"}, problem: "country: " + TextLong},
		"1025 characters":        {in: map[string]string{"email": strings.Repeat("é", 1025)}, problem: "email: " + TextLong},
		"unknown":                {in: map[string]string{"nickname": "x"}, problem: "nickname: " + TextUnknown},
		"reserved":               {in: map[string]string{"_sk": "x"}, problem: "_sk: " + TextReserved},
		"table key":              {in: map[string]string{"pk": "x"}, problem: "pk: " + TextReserved},
		"time to live":           {in: map[string]string{"expire_at": "1"}, problem: "expire_at: " + TextReserved},
		"value in a key's place": {in: map[string]string{"123-45-6789": "x"}, problem: "(unnamed): " + TextUnknown},
		"not UTF-8":              {in: map[string]string{"city": "\xff"}, problem: "city: " + TextUTF8},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := Default().Apply(c.in)
			if c.problem == "" {
				if err != nil || !maps.Equal(out, c.out) {
					t.Fatalf("out = %v, err = %v", out, err)
				}
				return
			}
			if err == nil || err.Error() != "schema: "+c.problem {
				t.Fatalf("err = %v, want %s", err, c.problem)
			}
		})
	}
}

func TestProblemsNeverRepeatAValue(t *testing.T) {
	const sentinel = "SENTINEL-31415926"
	in := map[string]string{sentinel: "x"}
	for _, n := range Default().Names() {
		in[n] = strings.Repeat(sentinel, 100)
	}
	_, err := Default().Apply(in)
	var p FieldErrors
	if !errors.As(err, &p) || len(p) != len(in) {
		t.Fatalf("want a problem per field, got %v", err)
	}
	if strings.Contains(err.Error(), sentinel) {
		t.Fatal("a value is in the error's text")
	}
}

func TestResolveNormalizesAndRefusesReservedNames(t *testing.T) {
	got, err := Default().Resolve([]string{" EMAIL ", "ssn9", "email"})
	if err != nil || !slices.Equal(got, []string{"email", "ssn9"}) {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, name := range []string{"_sk", "_pk", "_id", "_anything", "pk", "SK", "expire_at", " _SK ", "nope"} {
		if _, err := Default().Resolve([]string{"email", name}); err == nil {
			t.Errorf("%q was resolved", name)
		}
	}
}

func TestParseRefusesBadSchemas(t *testing.T) {
	cases := map[string]string{
		"no fields":        "name: x\nfields: []\n",
		"unknown key":      "name: x\nfields: [{name: a, max: 3}]\n",
		"reserved":         "name: x\nfields: [{name: _a}]\n",
		"table key":        "name: x\nfields: [{name: sk}]\n",
		"upper case":       "name: x\nfields: [{name: Email}]\n",
		"twice":            "name: x\nfields: [{name: a}, {name: a}]\n",
		"bad pattern":      "name: x\nfields: [{name: a, pattern: '('}]\n",
		"lengths":          "name: x\nfields: [{name: a, min_length: 5, max_length: 2}]\n",
		"too long":         "name: x\nfields: [{name: a, max_length: 65537}]\n",
		"part of a length": "name: x\nfields: [{name: a, max_length: 9.5}]\n",
		"two documents":    "name: x\nfields: [{name: a}]\n---\nname: y\n",
		"below nothing":    "name: x\nfields: [{name: a, max_length: -.inf}]\n",
		"derive too much":  "name: x\nfields: [{name: b}, {name: a, derive: {from: b, last: 9223372036854775807}}]\n",
		"derive nothing":   "name: x\nfields: [{name: a, derive: {from: b, last: 4}}]\n",
		"derive both ways": "name: x\nfields: [{name: b}, {name: a, derive: {from: b, last: 4, first: 1}}]\n",
		"derive a derived": "name: x\nfields: [{name: b}, {name: a, derive: {from: b, last: 4}}, {name: c, derive: {from: a, last: 1}}]\n",
		"not yaml":         "\t{",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(text)); err == nil {
				t.Fatal("parsed")
			}
		})
	}
}

func TestCustomSchemaDerivesFirstCharacters(t *testing.T) {
	s, err := Parse([]byte("name: card\nfields: [{name: pan, pattern: '[0-9]{12,19}', max_length: 19}, {name: bin, derive: {from: pan, first: 6}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Apply(map[string]string{"pan": "4111111111111111"})
	if err != nil || out["bin"] != "411111" {
		t.Fatalf("out = %v, %v", out, err)
	}
}

// The documentation shows a pattern; what it says of it holds.
func TestThePatternOfTheDocumentationRefusesWhatHidesAndValuesMayHoldItWithout(t *testing.T) {
	page, err := os.ReadFile("../../../deploy/REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("those that turn or hide text[^`]*`([^`]+)`").FindSubmatch(page)
	if shown == nil || string(shown[1]) != Plain {
		t.Fatalf("the page shows %q, want %q", shown, Plain)
	}
	s, err := Parse(fmt.Appendf(nil, "name: x\nfields: [{name: plain, pattern: '%s'}, {name: any}]\n", shown[1]))
	if err != nil {
		t.Fatal(err)
	}
	apply := func(field, value string) error {
		_, err := s.Apply(map[string]string{field: value})
		return err
	}
	hidden := "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
	for r := range rune(0xa0) {
		if unicode.IsControl(r) {
			hidden += string(r)
		}
	}
	for _, r := range hidden {
		value := "a" + string(r) + "b"
		if apply("plain", value) == nil {
			t.Errorf("%q matches", value)
		}
		if err := apply("any", value); err != nil {
			t.Errorf("%q without the pattern: %v", value, err)
		}
	}
	for _, value := range []string{"", "Zürich 8001", "می\u200cخواهم", "שלום", "日本語", "👩\u200d⚕️", "a\u00a0b"} {
		if err := apply("plain", value); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(defaultYAML)
	f.Add([]byte("name: x\nfields: [{name: a, pattern: 'a+'}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		for _, n := range s.Names() {
			if Reserved(n) {
				t.Fatalf("reserved name %q in a schema", n)
			}
		}
	})
}

func TestProblemsAreBounded(t *testing.T) {
	values := map[string]string{}
	for i := range 10 * MaxProblems {
		values[fmt.Sprintf("unknown_%d", i)] = ""
	}
	var p FieldErrors
	if _, err := Default().Apply(values); !errors.As(err, &p) || len(p) != MaxProblems {
		t.Fatalf("%d problems", len(p))
	}
}

func TestFieldsThatLeftTheSchemaCanBeRemovedAndReservedNamesCannot(t *testing.T) {
	got, err := Default().ResolveRemoved([]string{"Dropped_1", "city", " dropped_1 "})
	if err != nil || !slices.Equal(got, []string{"dropped_1", "city"}) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"_sk", "_SK", "pk", "expire_at", "_new", "1a", "a-b", "", "a b", strings.Repeat("a", MaxName+1)} {
		var p FieldErrors
		if _, err := Default().ResolveRemoved([]string{bad}); !errors.As(err, &p) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOnlyKnownAndStoredNamesAreRecordable(t *testing.T) {
	got := Default().Recordable([]string{"_sk", "City", "city", "bob", "_bob", "expire_at", " _PK ", ""})
	if !slices.Equal(got, []string{"_sk", "city", "expire_at", "_pk"}) {
		t.Fatalf("%v", got)
	}
}
