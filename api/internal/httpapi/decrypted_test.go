package httpapi

import (
	"encoding/json"
	"testing"

	"redoubt/api/internal/upstream"
)

func TestAnAnswersJSONIsThatOfItsType(t *testing.T) {
	for _, d := range []decryptedBody{
		{Data: map[string]json.RawMessage{}, Errors: []string{}},
		{Data: map[string]json.RawMessage{"a": json.RawMessage(`"x"`)}, Errors: []string{}},
		{
			Data: map[string]json.RawMessage{
				"b": json.RawMessage(`null`), "a\"\n<é>": json.RawMessage(`[1,{"x":"<&>"}]`), "c": json.RawMessage(`7`),
			},
			Errors: []string{"[b] <failed>"}, Absent: []string{"d"}, Sealed: map[string]string{"e": "AA=="},
			Failures: map[string]upstream.FieldError{"b": {Code: "decrypt_failed", Message: "m"}},
		},
	} {
		got, err := body(&d)
		if err != nil {
			t.Fatal(err)
		}
		typed := DecryptBody{Errors: d.Errors, Absent: d.Absent, Sealed: d.Sealed, Failures: d.Failures, Data: map[string]any{}}
		for name, value := range d.Data {
			typed.Data[name] = value
		}
		want, err := marshal(&typed)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s\nwant %s, %v", got, want, err)
		}
	}
}
