// Mkfixtures writes DIR/redoubt-*.json with fields sealed by package sealed, in the form of testdata/make_vectors.py,
// which checks them. A fixture must open forever: it refuses to overwrite one.
//
//	go run ./wire/kit/sealed/internal/mkfixtures wire/kit/sealed/testdata/fixtures
package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"redoubt/wire/kit/sealed"
)

const vault = "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"

var plaintexts = map[string][]byte{
	"ssn":                           []byte("123-45-6789"),
	"first_name":                    []byte("Zoë 漢字 🙂"),
	"a":                             {},
	"n" + strings.Repeat("9_", 127): []byte(strings.Repeat("y", 4096)),
}

type field struct {
	Encoding  sealed.Encoding `json:"encoding"`
	Name      string          `json:"name"`
	Plaintext []byte          `json:"plaintext"`
	Sealed    any             `json:"sealed"`
}

type fixture struct {
	MadeBy    string  `json:"made_by"`
	Suite     string  `json:"suite"`
	SuiteID   string  `json:"suite_id"`
	VaultID   string  `json:"vault_id"`
	PublicKey []byte  `json:"public_key"`
	PKCS8     []byte  `json:"pkcs8"`
	Fields    []field `json:"fields"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: mkfixtures DIR")
	}
	for _, suite := range sealed.Suites() {
		f := newFixture(suite)
		out, err := json.MarshalIndent(f, "", " ")
		check(err)
		name := filepath.Join(os.Args[1], "redoubt-"+strings.ToLower(suite.String())+".json")
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		check(err)
		_, err = file.Write(append(out, '\n'))
		check(err)
		check(file.Close())
	}
}

func newFixture(suite sealed.Suite) fixture {
	key, err := suite.Curve().GenerateKey(rand.Reader)
	check(err)
	id := suite.ID()
	f := fixture{
		MadeBy: "mkfixtures, package sealed", Suite: suite.String(), SuiteID: hex.EncodeToString(id[:]),
		VaultID: vault,
	}
	f.PKCS8, err = x509.MarshalPKCS8PrivateKey(key)
	check(err)
	f.PublicKey, err = x509.MarshalPKIXPublicKey(key.PublicKey())
	check(err)
	pub, err := sealed.ParsePublicKey(suite, f.PublicKey)
	check(err)
	for _, encoding := range []sealed.Encoding{1, 2, 3} {
		// Encoding 1 is never written: it is encoding 2 in another dress.
		out, err := sealed.Seal(max(encoding, 2), suite, pub, vault, plaintexts)
		check(err)
		for name, raw := range out {
			fl := field{Encoding: encoding, Name: name, Plaintext: plaintexts[name], Sealed: raw}
			if encoding == 1 {
				fl.Sealed = hex.EncodeToString(raw[:suite.EncSize()]) + "#" + hex.EncodeToString(raw[suite.EncSize():])
			}
			f.Fields = append(f.Fields, fl)
		}
	}
	slices.SortFunc(f.Fields, func(a, b field) int {
		return strings.Compare(string('0'+rune(a.Encoding))+a.Name, string('0'+rune(b.Encoding))+b.Name)
	})
	return f
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
