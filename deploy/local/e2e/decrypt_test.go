package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
)

func TestEveryEncodingSuiteAndKindOfKeyOpensOnBothRoutes(t *testing.T) {
	r := shared.get(t)
	for _, suite := range sealed.Suites() {
		for _, encoding := range []sealed.Encoding{sealed.EncodingHex, sealed.EncodingField, sealed.EncodingRecord} {
			for _, local := range []bool{true, false} {
				for _, bound := range []bool{false, true} {
					name := fmt.Sprintf("%s/encoding %d/wrapped by Encrypt %v/bound %v", suite, encoding, local, bound)
					t.Run(name, func(t *testing.T) {
						rec := r.seal(t, testkit.RecordOptions{Suite: suite, Encoding: encoding, WrapLocal: local, Context: bound})
						for _, route := range []string{"/decrypt", "/v1/decrypt"} {
							wantFields(t, r.ask(t, route, rec.Request(nil)), rec.Fields)
						}
					})
				}
			}
		}
	}
}

func TestAnAbsentEncodingIsTheReferences(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Encoding: sealed.EncodingField, WrapLocal: true})
	body := rec.Request(nil)
	body.Encoding = ""
	a := r.ask(t, "/decrypt", body)
	wantFields(t, a, rec.Fields)
	if string(a.Errors) != "[]" {
		t.Errorf("errors %s", a.Errors)
	}
}

func TestExpressionsComeBesideOrInsteadOfTheFields(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	want := map[string]string{
		"masked": "*************1120", "shout": "S3NT1NEL ADA ", "again": "s3nt1nel ada ",
	}
	expressions := map[string]string{
		"masked": "ssn9.mask(4)", "shout": "first_name.to_uppercase()", "again": "shout.to_lowercase()",
	}
	wantFields(t, r.ask(t, "/v1/decrypt", rec.Request(expressions)), want)
	all := maps.Clone(rec.Fields)
	maps.Copy(all, want)
	wantFields(t, r.ask(t, "/decrypt", rec.Request(expressions)), all)
	body := rec.Request(expressions)
	body.Include = []string{"dob"}
	some := maps.Clone(want)
	some["dob"] = rec.Fields["dob"]
	wantFields(t, r.ask(t, "/v1/decrypt", body), some)
	mac := r.ask(t, "/v1/decrypt", rec.Request(map[string]string{"m": "ssn9.hmac_sha256()"}))
	if text, ok := mac.Fields["m"].(string); mac.Status != 200 || !ok || len(text) != 64 {
		t.Errorf("hmac_sha256: %d %s", mac.Status, mac.Raw)
	}
}

func TestASubsetOfARecordOpens(t *testing.T) {
	r := shared.get(t)
	for _, encoding := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		rec := r.seal(t, testkit.RecordOptions{Encoding: encoding})
		for name, value := range rec.Fields {
			body := rec.Request(nil)
			body.Fields = map[string]string{name: rec.Sealed[name]}
			wantFields(t, r.ask(t, "/v1/decrypt", body), map[string]string{name: value})
		}
	}
}

// TestTheReferencesNamesAreTheCallersAsWritten: its fields are sealed under names in lower case, but asked for, shown to
// expressions and answered under the caller's own.
func TestTheReferencesNamesAreTheCallersAsWritten(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Encoding: sealed.EncodingField})
	ssn, name := rec.Fields["ssn9"], rec.Fields["first_name"]
	ask := func(fields, expressions map[string]string) *answer {
		body := rec.Request(expressions)
		body.Fields = map[string]string{}
		for written, stored := range fields {
			body.Fields[written] = rec.Sealed[stored]
		}
		return r.ask(t, "/decrypt", body)
	}
	wantFields(t, ask(
		map[string]string{"SSN9": "ssn9", "First_Name": "first_name"},
		map[string]string{"same": "SSN9", "first_name": "First_Name.to_uppercase()"},
	), map[string]string{"SSN9": ssn, "First_Name": name, "same": ssn, "first_name": strings.ToUpper(name)})
	wantFields(t, ask(map[string]string{"SSN9": "ssn9"}, map[string]string{"SSN9": "SSN9.first(1)"}),
		map[string]string{"SSN9": ssn[:1]})
	wantFields(t, ask(map[string]string{"ssn9": "ssn9", "SSN9": "ssn9"}, nil), map[string]string{"ssn9": ssn, "SSN9": ssn})
}
