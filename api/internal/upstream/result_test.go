package upstream

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

var answers = []string{
	`{"fields":{},"errors":{}}`,
	` { "fields" : { "a" : "x" , "b":7,"c" :null, "d":[1, {"e":true}] } , "errors" : { } , "other":[{}] } `,
	`{"errors":{"a":{"code":"decrypt_failed","message":"m","position":{"line":1,"column":2}}},"fields":{"a":null}}`,
	`{"fields":{"x":1},"errors":{},"sealed":{"x":"AA=="},"access":{"x":{"reads":["a"],"raw":[]}}}`,
	`{"fields":{"a\"\u00e9\n":"\ud83d\ude00","a":1,"a":2},"errors":null,"access":null,"sealed":{}}`,
}

// check compares readResult with encoding/json.
func check(t *testing.T, text string) {
	t.Helper()
	got, err := readResult([]byte(text))
	if err != nil {
		return
	}
	var want Result
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatalf("%s: encoding/json refuses it: %v", text, err)
	}
	for _, m := range []map[string]json.RawMessage{got.Fields, want.Fields} {
		for name, value := range m {
			var b bytes.Buffer
			if err := json.Compact(&b, value); err != nil {
				t.Fatalf("%s: %s: %v", text, name, err)
			}
			m[name] = b.Bytes()
		}
	}
	for _, m := range []*Result{got, &want} { // what is empty is as good as absent
		if len(m.Errors) == 0 {
			m.Errors = nil
		}
		if len(m.Sealed) == 0 {
			m.Sealed = nil
		}
		if len(m.Access) == 0 {
			m.Access = nil
		}
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%s:\n%+v\nencoding/json: %+v", text, *got, want)
	}
}

func TestAnswersAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, text := range answers {
		if _, err := readResult([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		check(t, text)
	}
	for _, text := range []string{
		``, ` `, `null`, `[]`, `{`, `{}`, `{"fields":null}`, `{"fields":[]}`, `{"fields":{},"errors":["text"]}`, `{"fields":{}} x`,
		`{"fields":{"a":1},"fields":{"b":1}}`, `{"fields":{"a":"` + "\xff" + `"}}`, `{"fields":{"a":"\ud800"}}`, `{"fields":{"a":01}}`,
	} {
		if got, err := readResult([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func FuzzReadResult(f *testing.F) {
	for _, text := range answers {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text != strings.ToLower(text) || strings.ContainsRune(text, '\\') || !ascii(text) {
			return // encoding/json takes "Fields" for "fields"
		}
		check(t, text)
	})
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}
