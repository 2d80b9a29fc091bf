package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// mutate changes one blob of a request in place.
func mutate(t *testing.T, body *parentapi.Request[string], name string, change func([]byte) []byte) {
	t.Helper()
	if point, ct, ok := strings.Cut(body.Fields[name], "#"); ok { // encoding 1
		blob, err := hex.DecodeString(point + ct)
		if err != nil {
			t.Fatal(err)
		}
		blob = change(blob)
		body.Fields[name] = fmt.Sprintf("%x#%x", blob[:len(point)/2], blob[len(point)/2:])
		return
	}
	blob, err := base64.StdEncoding.DecodeString(body.Fields[name])
	if err != nil {
		t.Fatal(err)
	}
	body.Fields[name] = base64.StdEncoding.EncodeToString(change(blob))
}

func flip(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 1
		return b
	}
}

// TestWhatDoesNotBelongTogetherIsRefused changes one thing at a time of a request that would be answered. Nothing of
// the plaintext may be in the answer, and the same processes must answer the unchanged request afterwards.
func TestWhatDoesNotBelongTogetherIsRefused(t *testing.T) {
	r := shared.get(t)
	for _, encoding := range []sealed.Encoding{sealed.EncodingHex, sealed.EncodingField, sealed.EncodingRecord} {
		one := map[string]string{"ssn9": sentinel + "078051120"}
		rec := r.seal(t, testkit.RecordOptions{VaultID: "v_one", Encoding: encoding, Context: true, Fields: one})
		other := r.seal(t, testkit.RecordOptions{VaultID: "v_two", Encoding: encoding, Context: true, Fields: one})
		loose := r.seal(t, testkit.RecordOptions{VaultID: "v_one", Encoding: encoding, Fields: one})
		tests := []struct {
			name   string
			status int
			code   string
			edit   func(*parentapi.Request[string])
		}{
			{"another field's name", 422, "decrypt_failed", func(b *parentapi.Request[string]) { b.Fields = map[string]string{"ssn4": b.Fields["ssn9"]} }},
			{"another vault's field", 422, "decrypt_failed", func(b *parentapi.Request[string]) { b.Fields["ssn9"] = other.Sealed["ssn9"] }},
			{"another vault's key", 403, "key_denied", func(b *parentapi.Request[string]) { b.WrappedKey = other.Request(nil).WrappedKey }},
			{"another vault's id", 403, "key_denied", func(b *parentapi.Request[string]) { b.VaultID = "v_two" }},
			{"a key said to have no context", 403, "key_denied", func(b *parentapi.Request[string]) { b.KeyContext = 0 }},
			{"a key without context said to have one", 403, "key_denied", func(b *parentapi.Request[string]) { b.WrappedKey = loose.Request(nil).WrappedKey }},
			{"a wrapped key that is garbage", 403, "key_denied", func(b *parentapi.Request[string]) { b.WrappedKey = "Z2FyYmFnZQ==" }},
			{"a region without a key", 403, "key_denied", func(b *parentapi.Request[string]) { b.Region = "eu-west-1" }},
			{"a wrapped key that is no base64", 400, "bad_request", func(b *parentapi.Request[string]) { b.WrappedKey = "*" }},
			{"another suite", 0, "", func(b *parentapi.Request[string]) { b.SuiteID = "SFBLRQASAAMAAg==" }},
			{"an unknown suite", 400, "bad_request", func(b *parentapi.Request[string]) { b.SuiteID = "SFBLRQASAAMAAA==" }},
			{"an unknown encoding", 400, "bad_request", func(b *parentapi.Request[string]) { b.Encoding = "4" }},
			{"no vault id", 400, "bad_request", func(b *parentapi.Request[string]) { b.VaultID = "" }},
			{"a vault id of 257", 400, "bad_request", func(b *parentapi.Request[string]) { b.VaultID = strings.Repeat("v", 257) }},
			{"a region that is none", 400, "bad_request", func(b *parentapi.Request[string]) { b.Region = "invalid-region" }},
		}
		for name, change := range map[string]func([]byte) []byte{
			"a flipped point":      flip(40),
			"a flipped ciphertext": flip(-20),
			"a flipped tag":        flip(-1),
			"a cut tag":            func(b []byte) []byte { return b[:len(b)-1] },
			"a byte more":          func(b []byte) []byte { return append(b, 0) },
		} {
			tests = append(tests, struct {
				name   string
				status int
				code   string
				edit   func(*parentapi.Request[string])
			}{name, 422, "decrypt_failed", func(b *parentapi.Request[string]) { mutate(t, b, "ssn9", change) }})
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("encoding %d/%s", encoding, tt.name), func(t *testing.T) {
				for _, route := range []string{"/decrypt", "/v1/decrypt"} {
					body := rec.Request(nil)
					tt.edit(body)
					a := r.ask(t, route, body)
					wantRefusal(t, a, route, tt.status, tt.code)
				}
			})
		}
		wantFields(t, r.ask(t, "/v1/decrypt", rec.Request(nil)), one)
	}
	r.alive(t)
}

// wantRefusal demands an error of the route's shape; a status of 0 is any of 4xx.
func wantRefusal(t *testing.T, a *answer, route string, status int, code string) {
	t.Helper()
	if status == 0 && a.Status/100 == 4 {
		status = a.Status
	}
	if a.Status != status {
		t.Fatalf("%s: status %d, want %d: %s", route, a.Status, status, a.Raw)
	}
	if bytes.Contains(a.Raw, []byte(sentinel)) || len(a.Fields) > 0 {
		t.Fatalf("%s: values in a refusal: %s", route, a.Raw)
	}
	if strings.HasPrefix(route, "/v1") {
		if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" || code != "" && a.Code != code {
			t.Errorf("%s: %s with code %v, want %s", route, kind, a.Code, code)
		}
		return
	}
	if a.Code != float64(status) {
		t.Errorf("%s: body says code %v, want %d", route, a.Code, status)
	}
}

func TestOneBadFieldDoesNotSpoilTheOthers(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{})
	body := rec.Request(nil)
	mutate(t, body, "ssn9", flip(-1))
	for _, route := range []string{"/decrypt", "/v1/decrypt"} {
		a := r.ask(t, route, body)
		if value, there := a.Fields["ssn9"]; a.Status != 200 || len(a.Fields) != len(rec.Fields) || !there || value != nil {
			t.Fatalf("%s: status %d: %s", route, a.Status, a.Raw)
		}
		if a.Fields["dob"] != rec.Fields["dob"] || !bytes.Contains(a.Errors, []byte("ssn9")) {
			t.Errorf("%s: errors %s", route, a.Errors)
		}
	}
}

// TestARecordThatIsHalfHexHalfBinaryOpens, as the reference left those that it changed, and a malformed field of it fails
// alone.
func TestARecordThatIsHalfHexHalfBinaryOpens(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Encoding: sealed.EncodingHex})
	body := rec.Request(nil)
	binary := strings.ReplaceAll(body.Fields["dob"], "#", "")
	blob, err := hex.DecodeString(binary)
	if err != nil {
		t.Fatal(err)
	}
	body.Fields["dob"] = base64.StdEncoding.EncodeToString(blob)
	for _, route := range []string{"/decrypt", "/v1/decrypt"} {
		wantFields(t, r.ask(t, route, body), rec.Fields)
	}
	body.Fields["ssn9"] += "0"
	for _, route := range []string{"/decrypt", "/v1/decrypt"} {
		a := r.ask(t, route, body)
		if value, there := a.Fields["ssn9"]; a.Status != 200 || !there || value != nil {
			t.Fatalf("%s: status %d: %s", route, a.Status, a.Raw)
		}
		if a.Fields["dob"] != rec.Fields["dob"] || a.Fields["first_name"] != rec.Fields["first_name"] {
			t.Errorf("%s: %s", route, a.Raw)
		}
	}
}

func TestBodiesBeyondTheLimitsAreRefusedAndTheProcessesLive(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Fields: map[string]string{"f": sentinel}})
	many := func(fields, expressions int) *parentapi.Request[string] {
		b := rec.Request(nil)
		b.Fields, b.Expressions = map[string]string{}, map[string]string{}
		for i := range fields {
			b.Fields[fmt.Sprintf("f%d", i)] = rec.Sealed["f"]
		}
		for i := range expressions {
			b.Expressions[fmt.Sprintf("e%d", i)] = "1"
		}
		return b
	}
	for _, route := range []string{"/decrypt", "/v1/decrypt"} {
		wantRefusal(t, r.ask(t, route, many(101, 0)), route, 400, "bad_request")
		wantRefusal(t, r.ask(t, route, many(1, 101)), route, 400, "bad_request")
		wantRefusal(t, r.ask(t, route, many(100, 0)), route, 422, "decrypt_failed") // 100 are read: all misnamed
		good, err := rec.Request(nil).JSON()
		if err != nil {
			t.Fatal(err)
		}
		exact := append(good, bytes.Repeat([]byte(" "), 1<<20-len(good))...)
		a, err := r.post(route, exact)
		if err != nil || a.Status != 200 {
			t.Fatalf("%s with 1 MiB: %v, %v", route, a, err)
		}
		a, err = r.post(route, append(exact, ' '))
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, a, route, http.StatusRequestEntityTooLarge, "bad_request")
		for body, status := range map[string]int{
			"{invalid json": 400, "": 400, "[]": 422, `{"vault_id":null}`: 422, `{"vault_id":"v","fields":[]}`: 422,
			strings.Repeat("[", 100_000): 400,
		} {
			a, err := r.post(route, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, a, route, status, "bad_request")
		}
	}
	r.alive(t)
}

func TestHostileExpressionsAreErrorEntriesAndNothingElse(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Fields: map[string]string{"ssn9": sentinel + "1"}})
	hostile := map[string]string{
		"cut": "1 +", "open": "(", "dot": ".", "empty": "", "braces": "Foo{}", "scalar_map": "ssn9.map(x, x)",
		"unknown": "nobody.sha256()", "no_function": "ssn9.explode()", "type": "ssn9 + 1", "null_byte": "'\x00' +",
		"deep":    strings.Repeat("(", 9000) + "1" + strings.Repeat(")", 900),
		"long":    "'" + strings.Repeat("a", 10_300) + "'",
		"bomb":    "[1,2,3,4,5,6,7,8].map(a, [1,2,3,4,5,6,7,8].map(b, [1,2,3,4,5,6,7,8].map(c, [1,2,3,4,5,6,7,8].map(d, a+b+c+d))))",
		"growing": strings.Repeat("(ssn9+ssn9)+", 700) + "ssn9 == 1",
		"cycle_a": "cycle_b", "cycle_b": "cycle_a", "on_failure": "cut",
		"date": "date(ssn9)", "decode": "ssn9.base64_decode()", "divide": "1/0", "overflow": "9223372036854775807 + 1",
	}
	a := r.ask(t, "/v1/decrypt", rec.Request(hostile))
	codes := a.errorCodes(t)
	if a.Status != 200 || bytes.Contains(a.Raw, []byte(sentinel)) {
		t.Fatalf("status %d: %s", a.Status, a.Raw)
	}
	for name := range hostile {
		if codes[name] != "expression_failed" {
			t.Errorf("%s: code %q", name, codes[name])
		}
		if a.Fields[name] != nil {
			t.Errorf("%s has a value", name)
		}
	}
	// A hundred times the most that one may cost, in one request: bounded, answered, survived.
	costly := map[string]string{}
	for i := range 100 {
		costly[fmt.Sprintf("e%d", i)] = "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, " +
			"[1,2,3,4,5,6,7,8,9,10].all(c, ssn9.sha512() != string(a*b*c))))"
	}
	if a := r.ask(t, "/v1/decrypt", rec.Request(costly)); a.Status != 200 && a.Status != 504 {
		t.Errorf("status %d", a.Status)
	}
	wantFields(t, r.ask(t, "/v1/decrypt", rec.Request(nil)), rec.Fields)
	r.alive(t)
}
