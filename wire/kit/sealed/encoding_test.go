package sealed

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestSuiteIDsAreTheReferences(t *testing.T) {
	for s, want := range map[Suite]string{
		P256: "48504b45001000010002", P384: "48504b45001100020002", P521: "48504b45001200030002",
		XWing: "48504b45647a00010002", // ours, not the reference's
	} {
		id := s.ID()
		if hex.EncodeToString(id[:]) != want {
			t.Errorf("%v: %x", s, id)
		}
		if got, err := ParseSuite(id[:]); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
		for _, bad := range [][]byte{nil, id[:9], append(id[:], 0), bytes.ToLower(id[:]), make([]byte, 10)} {
			if _, err := ParseSuite(bad); !errors.Is(err, ErrSuite) {
				t.Errorf("%x: %v", bad, err)
			}
		}
	}
	if P256.EncSize() != 65 || P384.EncSize() != 97 || P521.EncSize() != 133 || Suite(0).EncSize() != 0 {
		t.Error("sizes of encapsulated keys")
	}
	// The numbers are on the wire.
	if P256 != 1 || P384 != 2 || P521 != 3 || XWing != 4 || Suite(5).Valid() || Suite(0).Valid() {
		t.Error("numbers")
	}
	for _, s := range []Suite{0, 5, 255} {
		if s.String() != "unknown" || s.ID() != [SuiteIDSize]byte{} {
			t.Error(s)
		}
	}
}

// TestASuiteFitsWhatIsSizedForAll: buffers of a fixed size, and the text that says which suites there are.
func TestASuiteFitsWhatIsSizedForAll(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	forSuites(t, func(t *testing.T, s Suite) {
		if p := s.params(); s.EncSize() > MaxEncSize || p.scalar > maxScalarSize || p.nh > maxHashSize {
			t.Errorf("enc of %d bytes, scalar of %d, hash of %d", s.EncSize(), p.scalar, p.nh)
		}
		if !regexp.MustCompile(`Suites are [^;]*\b` + s.String() + `\b`).Match(doc) {
			t.Error("doc.go does not name it")
		}
		if named, err := SuiteNamed(s.String()); named != s {
			t.Errorf("its name finds %v, %v", named, err)
		}
	})
}

func TestParseEncoding(t *testing.T) {
	for in, want := range map[string]Encoding{"": 2, "1": 1, "2": 2, "3": 3, "0": 0, "4": 0, "02": 0, " 2": 0, "２": 0} {
		got, err := ParseEncoding(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

func TestDetectTellsEncodingsByTheirForm(t *testing.T) {
	for in, want := range map[string]Encoding{
		"\x04...": EncodingField, "\x04#": EncodingField, "\x03\x04": EncodingRecord, "\x03#": EncodingRecord,
		"04ab#cd": EncodingHex, "04#": EncodingHex, "": 0, "04ab": 0, "#": 0, "05#": 0, "\x02": 0, "{}": 0,
	} {
		got, err := Detect([]byte(in))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

func TestBlobThatContradictsItsEncodingIsRefused(t *testing.T) {
	for _, s := range Suites() {
		n := s.EncSize() + TagSize
		point := append([]byte{4}, make([]byte, n-1)...)
		record := append([]byte{3}, point...)
		for _, c := range []struct {
			what     string
			encoding Encoding
			raw      []byte
			ok       bool
		}{
			{"1", EncodingHex, point, true},
			{"2", EncodingField, point, true},
			{"3", EncodingRecord, record, true},
			{"3 said to be 1", EncodingHex, record, false},
			{"3 said to be 2", EncodingField, record, false},
			{"2 said to be 3", EncodingRecord, point, false},
			{"3 without its point", EncodingRecord, append([]byte{3, 3}, point[1:]...), false},
			{"encoding 0", 0, point, false},
			{"encoding 4", 4, point, false},
			{"2 too short", EncodingField, point[:n-1], false},
			{"3 too short", EncodingRecord, record[:n], false},
			{"empty 2", EncodingField, nil, false},
			{"empty 3", EncodingRecord, nil, false},
			{"only the mark of 3", EncodingRecord, []byte{3}, false},
		} {
			b, err := ParseBlob(s, c.encoding, c.raw)
			if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrBlob) {
				t.Errorf("%s: %v", c.what, err)
			}
			if c.ok && (len(b.Enc) != s.EncSize() || len(b.CT) != TagSize || b.Encoding != c.encoding) {
				t.Errorf("%s: %d, %d", c.what, len(b.Enc), len(b.CT))
			}
		}
		if _, err := ParseBlob(0, EncodingField, point); !errors.Is(err, ErrBlob) {
			t.Error("no suite")
		}
	}
}

func TestHexFormIsStrict(t *testing.T) {
	point := "04" + strings.Repeat("ab", 64)
	tag := strings.Repeat("0f", 16)
	good := point + "#" + tag
	raw, err := AppendHex([]byte("x"), P256, good)
	if err != nil || hex.EncodeToString(raw[1:]) != point+tag || raw[0] != 'x' {
		t.Fatal(err)
	}
	for what, in := range map[string]string{
		"empty": "", "no hash": point + tag, "upper case": strings.ToUpper(good),
		"one upper case": point + "#" + "0F" + tag[2:],
		"two hashes":     point + "##" + tag, "hash in the ciphertext": point + "#" + tag[:10] + "#" + tag[11:],
		"odd": good + "0", "space": good + " ", "short": point + "#" + tag[2:], "point too long": point + "00#" + tag,
		"point too short": point[2:] + "#" + tag, "no point": "05" + point[2:] + "#" + tag,
		"other digit": point + "#" + "0g" + tag[2:],
		"binary":      string(raw[1:]), "newline": good + "\n",
	} {
		if out, err := AppendHex([]byte("x"), P256, in); !errors.Is(err, ErrBlob) || string(out) != "x" {
			t.Errorf("%s: %q, %v", what, out, err)
		}
	}
	if _, err := AppendHex(nil, 0, good); !errors.Is(err, ErrBlob) {
		t.Error("no suite")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", MaxName)
	for in, want := range map[string]string{
		"ssn": "ssn", " SSN\r\n": "ssn", "a1_": "a1_", long: long, "": "", "1": "", "_a": "", "a-b": "", "a b": "",
		long + "a": "", "\u00e9": "", "a\x00": "", "\u00a0ssn": "", "İ": "",
	} {
		got, err := NormalizeName(in)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"ssn": "ssn", "First-Name": "first-name", " a ": " a ", "_SK": "_sk", "": "", "naïve": "", "a\n": "",
		long + "a": "", "\u212a": "",
	} {
		got, err := AppendLower([]byte("="), in)
		if string(got) != "="+want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if !ValidName("a") || ValidName("A") || ValidName([]byte("é")) {
		t.Error("ValidName")
	}
}
