package front

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
	"redoubt/wire/kit/sealed"
)

const (
	p384ID = "SFBLRQARAAIAAg=="
	p256ID = "SFBLRQAQAAEAAg=="
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// body is a valid request as a map, with changes: a nil value deletes a key.
func body(changes map[string]any) []byte {
	m := map[string]any{
		"vault_id": "v_1", "region": "us-east-1", "suite_id": p384ID,
		"encrypted_private_key": b64("wrapped"), "fields": map[string]any{"ssn": b64("blob")},
	}
	for k, v := range changes {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

type obj = map[string]any

func many(n int, value string) obj {
	m := obj{}
	for i := range n {
		m[fmt.Sprintf("f%d", i)] = value
	}
	return m
}

func TestRequestsAreCheckedBeforeAnythingIsSent(t *testing.T) {
	const both, onlyV1, onlyRef = 0, 1, 2
	for _, tc := range []struct {
		name   string
		change obj
		on     int
		status int // 0: accepted
	}{
		{"valid", obj{}, both, 0},
		{"no fields", obj{"fields": obj{}}, both, 0},
		{"vault_id missing", obj{"vault_id": nil}, both, 422},
		{"vault_id null", obj{"vault_id": null{}}, both, 422},
		{"vault_id number", obj{"vault_id": 1}, both, 422},
		{"vault_id empty", obj{"vault_id": ""}, both, 400},
		{"vault_id longest", obj{"vault_id": strings.Repeat("v", 256)}, both, 0},
		{"vault_id too long", obj{"vault_id": strings.Repeat("v", 257)}, both, 400},
		{"region missing", obj{"region": nil}, both, 422},
		{"region malformed", obj{"region": "invalid-region"}, both, 400},
		{"region array", obj{"region": []string{"us-east-1"}}, both, 422},
		{"suite missing", obj{"suite_id": nil}, both, 422},
		{"suite empty", obj{"suite_id": ""}, both, 400},
		{"suite unknown", obj{"suite_id": b64("HPKE\x00\x99\x00\x02\x00\x02")}, both, 400},
		{"suite short", obj{"suite_id": b64("HPKE")}, both, 400},
		{"suite not base64", obj{"suite_id": "!!!!"}, both, 400},
		{"suite p256", obj{"suite_id": p256ID}, both, 0},
		{"key missing", obj{"encrypted_private_key": nil}, both, 422},
		{"key empty", obj{"encrypted_private_key": ""}, both, 400},
		{"key unpadded", obj{"encrypted_private_key": "QQ"}, both, 400},
		{"key with loose bits", obj{"encrypted_private_key": "QR=="}, both, 400},
		{"key with newline", obj{"encrypted_private_key": "Qm9i\nQm9i"}, both, 400},
		{"key longest", obj{"encrypted_private_key": b64(strings.Repeat("k", 6144))}, both, 0},
		{"key too long", obj{"encrypted_private_key": b64(strings.Repeat("k", 6145))}, both, 400},
		{"fields missing", obj{"fields": nil}, both, 422},
		{"fields null", obj{"fields": null{}}, both, 422},
		{"fields array", obj{"fields": []string{}}, both, 422},
		{"field null", obj{"fields": obj{"ssn": null{}}}, both, 422},
		{"field number", obj{"fields": obj{"ssn": 5}}, both, 422},
		{"field not base64", obj{"fields": obj{"ssn": "$$$$"}}, both, 400},
		{"field empty", obj{"fields": obj{"ssn": ""}}, both, 0},
		{"100 fields", obj{"fields": many(100, "QQ==")}, both, 0},
		{"101 fields", obj{"fields": many(101, "QQ==")}, both, 400},
		{"field name empty", obj{"fields": obj{"": "QQ=="}}, both, 400},
		{"field name upper", obj{"fields": obj{"SSN": "QQ=="}}, onlyV1, 400},
		{"field name upper, reference", obj{"fields": obj{"SSN": "QQ=="}}, onlyRef, 0},
		{"field names equal but for case", obj{"fields": obj{"SSN": "QQ==", "a": "QQ==", "ssn": "QQ=="}}, onlyRef, 0},
		{"field name dashed", obj{"fields": obj{"a-b": "QQ=="}}, onlyV1, 400},
		{"field name dashed, reference", obj{"fields": obj{"a-b": "QQ=="}}, onlyRef, 0},
		{"field name unicode", obj{"fields": obj{"naïve": "QQ=="}}, both, 400},
		{"field name longest", obj{"fields": obj{strings.Repeat("a", 255): "QQ=="}}, both, 0},
		{"field name too long", obj{"fields": obj{strings.Repeat("a", 256): "QQ=="}}, both, 400},
		{"expressions", obj{"expressions": obj{"x": "1"}}, both, 0},
		{"expressions null", obj{"expressions": null{}}, onlyRef, 0},
		{"expressions null, v1", obj{"expressions": null{}}, onlyV1, 422},
		{"expressions array", obj{"expressions": []string{}}, both, 422},
		{"expression null", obj{"expressions": obj{"x": null{}}}, both, 422},
		{"expression name empty", obj{"expressions": obj{"": "1"}}, both, 400},
		{"expression too long", obj{"expressions": obj{"x": strings.Repeat("1", 1<<16+1)}}, both, 400},
		{"101 expressions", obj{"expressions": many(101, "1")}, both, 400},
		{"encoding 1", obj{"encoding": "1", "fields": obj{"ssn": hexBlob(97, 17)}}, both, 0},
		{"encoding 1, upper case", obj{"encoding": "1", "fields": obj{"ssn": strings.ToUpper(hexBlob(97, 17))}}, both, 0},
		{"encoding 1, odd", obj{"encoding": "1", "fields": obj{"ssn": hexBlob(97, 17) + "0"}}, both, 0},
		{"encoding 1 as base64", obj{"encoding": "1"}, both, 0},
		{"encoding 2 as hex", obj{"fields": obj{"ssn": hexBlob(97, 17)}}, both, 400},
		{"encoding 3", obj{"encoding": "3"}, both, 0},
		{"encoding null", obj{"encoding": null{}}, onlyRef, 0},
		{"encoding null, v1", obj{"encoding": null{}}, onlyV1, 422},
		{"encoding number", obj{"encoding": 2}, both, 422},
		{"encoding 4", obj{"encoding": "4"}, both, 400},
		{"encoding empty", obj{"encoding": ""}, both, 400},
		{"key_context", obj{"key_context": 1}, both, 0},
		{"key_context 0", obj{"key_context": 0}, both, 0},
		{"key_context 2", obj{"key_context": 2}, both, 400},
		{"key_context -1", obj{"key_context": -1}, both, 400},
		{"key_context 1.5", obj{"key_context": 1.5}, both, 400},
		{"key_context bool", obj{"key_context": true}, both, 422},
		{"unknown key", obj{"other": 1}, onlyV1, 422},
		{"unknown key, reference", obj{"other": obj{"deep": []int{1}}}, onlyRef, 0},
		{"include", obj{"include": []string{"ssn"}}, onlyV1, 0},
		{"include is unknown to the reference", obj{"include": 5}, onlyRef, 0},
		{"include empty", obj{"include": []string{}}, onlyV1, 0},
		{"include other", obj{"include": []string{"dob"}}, onlyV1, 400},
		{"include string", obj{"include": "ssn"}, onlyV1, 422},
		{"include number", obj{"include": []int{1}}, onlyV1, 422},
		{"compat", obj{"compat": true}, onlyV1, 0},
		{"compat number", obj{"compat": 1}, onlyV1, 422},
		{"reply_key", obj{"reply_key": obj{"suite_id": p256ID, "public_key": b64("der")}}, onlyV1, 0},
		{"reply_key is unknown to the reference", obj{"reply_key": 5}, onlyRef, 0},
		{"reply_key string", obj{"reply_key": "x"}, onlyV1, 422},
		{"reply_key without key", obj{"reply_key": obj{"suite_id": p256ID}}, onlyV1, 422},
		{"reply_key with more", obj{"reply_key": obj{"suite_id": p256ID, "public_key": "QQ==", "x": 1}}, onlyV1, 422},
		{"reply_key unknown suite", obj{"reply_key": obj{"suite_id": "QQ==", "public_key": "QQ=="}}, onlyV1, 400},
		{"reply_key empty", obj{"reply_key": obj{"suite_id": p256ID, "public_key": ""}}, onlyV1, 400},
		{"reply_key too long", obj{"reply_key": obj{"suite_id": p256ID, "public_key": b64(strings.Repeat("x", 2049))}}, onlyV1, 400},
	} {
		for _, d := range []dialect{reference, v1} {
			if tc.on == onlyV1 && d != v1 || tc.on == onlyRef && d != reference {
				continue
			}
			var r request
			f := r.decode(body(tc.change), d)
			got := 0
			if f != nil {
				got = f.status
			}
			if got != tc.status {
				t.Errorf("%s (dialect %d): %d %v, want %d", tc.name, d, got, f, tc.status)
			}
		}
	}
}

func hexBlob(enc, ct int) string {
	return hex.EncodeToString(bytes.Repeat([]byte{4}, enc)) + "#" + hex.EncodeToString(bytes.Repeat([]byte{0xab}, ct))
}

func TestBodiesThatAreNotRequests(t *testing.T) {
	for doc, status := range map[string]int{
		``: 400, `{invalid json`: 400, `{"vault_id": "a",}`: 400, "{\"vault_id\": \"\xff\"}": 400,
		`{"vault_id": "\ud800"}`: 400, `[]`: 422, `"x"`: 422, `1`: 422, `null`: 422, `{}`: 422,
		string(body(nil)) + "x": 400,
		strings.Replace(string(body(nil)), `{`, `{"region":"us-east-1",`, 1): 422, // a key twice
	} {
		for _, d := range []dialect{reference, v1} {
			var r request
			if f := r.decode([]byte(doc), d); f == nil || f.status != status {
				t.Errorf("%q: %v, want %d", doc, f, status)
			}
		}
	}
}

// The reference's own table (reference-spec 7.5).
func TestRegionsOfTheReference(t *testing.T) {
	for _, ok := range []string{
		"us-east-1", "us-west-2", "eu-west-1", "ap-southeast-1", "ap-northeast-2", "me-south-1", "sa-east-1", "us-gov-west-1",
		"us-iso-east-1",
	} {
		if !validRegion([]byte(ok)) {
			t.Errorf("%s refused", ok)
		}
	}
	for _, bad := range []string{
		"US-EAST-1", "useast1", "us-east", "usa-east-1", "u-east-1", "us-east1-1", "", "--", "us--1", "us-east-", "us-1", "-east-1",
		"us-east-1 ", "us-east-1a", "us-" + strings.Repeat("a", 64) + "-1",
	} {
		if validRegion([]byte(bad)) {
			t.Errorf("%q accepted", bad)
		}
	}
}

// TestAFieldOfEncoding1ThatIsMalformedIsEmpty, so that the enclave fails it and no other; a field that the reference has
// written since, in base64, is what it holds.
func TestAFieldOfEncoding1ThatIsMalformedIsEmpty(t *testing.T) {
	whole := strings.Repeat("\x04", 97) + strings.Repeat("\xab", 17)
	fields := obj{}
	want := map[string]string{}
	for name, c := range map[string]struct{ value, blob string }{
		"hex":      {hexBlob(97, 17), whole},
		"binary":   {b64(whole), whole},
		"upper":    {strings.ToUpper(hexBlob(97, 17)), ""},
		"odd":      {hexBlob(97, 17) + "0", ""},
		"short":    {hexBlob(97, 15), ""},
		"late":     {hexBlob(97, 17) + "#", ""},
		"unmarked": {strings.ReplaceAll(hexBlob(97, 17), "#", "") + "0", ""},
		"neither":  {"$", ""},
		"empty":    {"", ""},
	} {
		fields[name], want[name] = c.value, c.blob
	}
	for _, d := range []dialect{reference, v1} {
		var r request
		if f := r.decode(body(obj{"encoding": "1", "fields": fields}), d); f != nil {
			t.Fatal(f)
		}
		if len(r.msg.Fields) != len(want) || r.msg.Encoding != uint8(sealed.EncodingHex) {
			t.Errorf("%d fields of encoding %d", len(r.msg.Fields), r.msg.Encoding)
		}
		for _, f := range r.msg.Fields {
			if string(f.Blob) != want[string(f.Name)] {
				t.Errorf("%s: %x", f.Name, f.Blob)
			}
		}
	}
}

// TestRefusalsNameTheKeyAndTheRule: what is missing, what has the wrong type, what is beyond a bound.
func TestRefusalsNameTheKeyAndTheRule(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{"", 400, "body is not valid json"},
		{"{", 400, "body is not valid json"},
		{"[]", 422, "body must be a json object"},
		{"{}", 422, "vault_id is required"},
		{string(body(obj{"region": nil})), 422, "region is required"},
		{string(body(obj{"fields": nil})), 422, "fields is required"},
		{string(body(obj{"suite_id": nil})), 422, "suite_id is required"},
		{string(body(obj{"encrypted_private_key": nil})), 422, "encrypted_private_key is required"},
		{string(body(obj{"vault_id": null{}})), 422, "vault_id must be a string"},
		{string(body(obj{"region": 5})), 422, "region must be a string"},
		{string(body(obj{"fields": []int{}})), 422, "fields must be an object of strings"},
		{string(body(obj{"vault_id": ""})), 400, "vault_id must be 1 to 256 bytes"},
		{string(body(obj{"vault_id": strings.Repeat("é", 129)})), 400, "vault_id must be 1 to 256 bytes"},
		{strings.Repeat("[", jsonscan.MaxDepth+1) + strings.Repeat("]", jsonscan.MaxDepth+1), 400, "body nests deeper than 128 levels"},
		{"[" + strings.Repeat("0,", maxValues) + "0]", 400, "body holds too many values: at most 4096 in a request"},
	} {
		for _, d := range []dialect{reference, v1} {
			var r request
			if f := r.decode([]byte(c.body), d); f == nil || f.status != c.status || f.text != c.text {
				t.Errorf("%.60s: %v, want %d %s", c.body, f, c.status, c.text)
			}
		}
	}
}

// TestRefusalsOfABatchNameTheKeyAndTheRule, and nothing that is no JSON is refused for anything else.
func TestRefusalsOfABatchNameTheKeyAndTheRule(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{"", 400, "body is not valid json"},
		{"{", 400, "body is not valid json"},
		{"{}x", 400, "body is not valid json"},
		{`{"things":[}`, 400, "body is not valid json"},
		{`{"items":{]}`, 400, "body is not valid json"},
		{`{"items":[]`, 400, "body is not valid json"},
		{`{"items":[1],}`, 400, "body is not valid json"},
		{`{"items":[1],"items":`, 400, "body is not valid json"},
		{`{"items":[1 2]}`, 400, "body is not valid json"},
		{`{"items":[1]`, 400, "body is not valid json"},
		{"{\"items\":[\"\xff\"]}", 400, "body is not valid json"},
		{" { } ", 422, "items is required: an array of 1 to 1000 objects"},
		{"[]", 422, "body must be a json object"},
		{"null", 422, "body must be a json object"},
		{`{"things":[]}`, 422, "body has an unknown key"},
		{`{"items":[1],"things":[]}`, 422, "body has an unknown key"},
		{`{"items":[1],"items":[]}`, 422, "body has a key twice"},
		{`{"items":{}}`, 422, "items must be an array of objects"},
		{`{"items":null}`, 422, "items must be an array of objects"},
		{`{"items":[]}`, 400, "items must be 1 to 1000"},
		{`{"items":[` + strings.Repeat("[", jsonscan.MaxDepth+1), 400, "body nests deeper than 128 levels"},
	} {
		if _, f := split([]byte(c.body)); f == nil || f.status != c.status || f.text != c.text {
			t.Errorf("%.60s: %v, want %d %s", c.body, f, c.status, c.text)
		}
	}
}

func TestDecodedRequestIsWhatWasSent(t *testing.T) {
	doc := body(obj{
		"fields":      obj{"b": b64("two"), "a": b64("one"), "c": b64("\x00\xff")},
		"expressions": obj{"z": "a + b", "y": "size(c)"},
		"include":     []string{"c", "a"}, "key_context": 1, "encoding": "3",
		"reply_key": obj{"suite_id": p256ID, "public_key": b64("spki")},
	})
	var r request
	for range 3 { // reuse leaves nothing behind
		if f := r.decode(doc, v1); f != nil {
			t.Fatal(f)
		}
		var m wire.DecryptRequest
		if err := m.Decode(r.msg.Append(nil)); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s %s %d %d %v %v %d %s %d %s", m.VaultID, m.Region, m.Suite, m.Encoding, m.KeyContext, m.Compat,
			m.IncludeMode, m.WrappedKey, m.ReplySuite, m.ReplyKey)
		want := fmt.Sprintf("v_1 us-east-1 %d 3 true false 1 wrapped %d spki", sealed.P384, sealed.P256)
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		var fields, exprs []string
		for _, f := range m.Fields {
			fields = append(fields, fmt.Sprintf("%s=%q %v", f.Name, f.Blob, f.Include))
		}
		for _, e := range m.Expressions {
			exprs = append(exprs, fmt.Sprintf("%s=%s", e.Name, e.Source))
		}
		if want := []string{`a="one" true`, `b="two" false`, `c="\x00\xff" true`}; !slices.Equal(fields, want) {
			t.Errorf("fields %v", fields)
		}
		if want := []string{"y=size(c)", "z=a + b"}; !slices.Equal(exprs, want) {
			t.Errorf("expressions %v", exprs)
		}
	}
}

func TestReferenceDialectTakesTheLastOfEqualNamesAndSendsThemAsWritten(t *testing.T) {
	doc := strings.Replace(string(body(nil)), `"fields":{`, `"fields":{"ssn":"QQ==","Email":"QUI=","\u0065mail2":"QQ==",`, 1)
	var r request
	if f := r.decode([]byte(doc), reference); f != nil {
		t.Fatal(f)
	}
	names := map[string]string{}
	for i, f := range r.msg.Fields {
		names[string(r.fields[i].name)] = string(f.Name) + "=" + string(f.Blob)
	}
	want := map[string]string{"Email": "Email=AB", "email2": "email2=A", "ssn": "ssn=blob"}
	if !maps.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if !r.msg.Compat {
		t.Error("not in compat mode")
	}
	if f := r.decode([]byte(strings.Replace(doc, `"Email"`, `"email"`, 1)), v1); f != faultFieldTwice {
		t.Errorf("v1 accepts a name twice: %v", f)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(body(nil), true)
	f.Add(body(obj{"expressions": obj{"x": "1"}, "include": []string{"ssn"}}), true)
	f.Add(body(obj{"encoding": "1", "fields": obj{"A": hexBlob(97, 17)}}), false)
	f.Add(body(obj{"reply_key": obj{"suite_id": p256ID, "public_key": "QQ=="}, "compat": true}), true)
	f.Add([]byte(`{"fields":{"\u0061":"Qm9i"}}`), false)
	f.Add(body(under(nil)), true)
	f.Add(body(under(obj{"domain_records": []string{b64(record("d"))}})), true)
	f.Fuzz(func(t *testing.T, doc []byte, isV1 bool) {
		d := reference
		if isV1 {
			d = v1
		}
		var r request
		given := bytes.Clone(doc)
		fault := r.decode(doc, d)
		if !bytes.Equal(doc, given) {
			t.Fatal("the body was changed")
		}
		if fault != nil {
			if s := fault.status; s != 400 && s != 422 && s != 413 {
				t.Fatalf("status %d", s)
			}
			return
		}
		var m wire.DecryptRequest
		if err := m.Decode(r.msg.Append(nil)); err != nil {
			t.Fatalf("encodes to what the wire refuses: %v", err)
		}
		if len(m.Fields) != len(r.fields) || len(m.Expressions) != len(r.exprs) {
			t.Fatal("fields or expressions were lost")
		}
		if !slices.IsSortedFunc(r.fields, byName) || !slices.IsSortedFunc(r.exprs, byName) {
			t.Fatal("not sorted")
		}
		for i := range m.Fields {
			if m.Encoding != uint8(sealed.EncodingRef) {
				break
			}
			ref, _, err := sealed.ParseRef(m.Fields[i].Blob)
			if err != nil || sealed.RefOf(m.Encs[m.Fields[i].Enc]) != ref {
				t.Fatal("a field with another's encapsulated key")
			}
		}
		for _, given := range r.records {
			if !bytes.Equal(given.Name[:], m.Domain) {
				t.Fatal("a record of another domain")
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"items":[{"a":1},2,"x"]}`))
	f.Add([]byte(` { "items" : [ ] } `))
	f.Add([]byte(`{"items":[{}],"more":1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		items, fault := split(doc)
		if fault != nil {
			return
		}
		var whole struct{ Items []json.RawMessage }
		if err := json.Unmarshal(doc, &whole); err != nil {
			if beyondBounds(doc) {
				return
			}
			t.Fatalf("splits what is not JSON: %v", err)
		}
		if len(whole.Items) != len(items) {
			t.Fatalf("%d items, want %d", len(items), len(whole.Items))
		}
		for i := range items {
			if !bytes.Equal(items[i].body, whole.Items[i]) {
				t.Fatalf("item %d differs", i)
			}
		}
	})
}

// beyondBounds reports whether there is a reason of ours to refuse valid JSON: depth, number of values, or a lone
// surrogate, which encoding/json replaces.
func beyondBounds(doc []byte) bool {
	return strings.Count(string(doc), "[")+strings.Count(string(doc), "{") > jsonscan.MaxDepth ||
		strings.Count(string(doc), ",") >= maxValues-jsonscan.MaxDepth ||
		strings.Contains(strings.ToLower(string(doc)), `\ud`)
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
