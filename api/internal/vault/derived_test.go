package vault_test

import (
	"slices"
	"testing"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

func (e *env) remove(id string, fields ...string) error {
	return e.Delete(e.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: fields})
}

// holds tells the fields that the stored record has, in order.
func (e *env) holds(id string, want ...string) {
	e.Helper()
	r, err := e.store.Get(e.Context(), id)
	e.must(err)
	var got []string
	for name := range r.Fields {
		got = append(got, name)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		e.Fatalf("the record holds %v, want %v", got, want)
	}
}

func TestDerivedFieldsGoWithTheirSourceUnlessACallerGaveThem(t *testing.T) {
	const ssn, other = "123456789", "987654321"
	type values = map[string]string
	cases := map[string]struct {
		create  values
		patches []values
		remove  []string
		left    []string
	}{
		"derived at create":           {values{"ssn9": ssn}, nil, []string{"ssn9"}, nil},
		"derived by a patch":          {values{}, []values{{"ssn9": ssn}}, []string{"ssn9"}, nil},
		"given at create":             {values{"ssn9": ssn, "ssn4": "0000"}, nil, []string{"ssn9"}, []string{"ssn4"}},
		"given as it would be made":   {values{"ssn9": ssn, "ssn4": "6789"}, nil, []string{"ssn9"}, []string{"ssn4"}},
		"given by a patch":            {values{"ssn9": ssn}, []values{{"ssn4": "0000"}}, []string{"ssn9"}, []string{"ssn4"}},
		"given beside its source":     {values{}, []values{{"ssn9": ssn, "ssn4": "0000"}}, []string{"ssn9"}, []string{"ssn4"}},
		"given, then derived":         {values{"ssn4": "0000"}, []values{{"ssn9": ssn}}, []string{"ssn9"}, nil},
		"derived anew, another given": {values{"ssn9": ssn, "ssn4": "0000"}, []values{{"ssn9": other}}, []string{"ssn9"}, nil},
		"other fields do not matter":  {values{"ssn9": ssn, "ssn4": "0000"}, []values{{"city": "Bern"}}, []string{"ssn9"}, []string{"city", "ssn4"}},
		"given alone stays":           {values{"ssn4": "0000"}, nil, []string{"ssn9"}, []string{"ssn4"}},
		"the derived one alone":       {values{"ssn9": ssn}, nil, []string{"ssn4"}, []string{"ssn9"}},
		"both named":                  {values{"ssn9": ssn, "ssn4": "0000"}, nil, []string{"ssn9", "ssn4"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := setup(t)
			id := e.create(c.create)
			for _, p := range c.patches {
				e.must(e.patch(id, p))
			}
			e.must(e.remove(id, c.remove...))
			e.holds(id, c.left...)
			e.must(e.remove(id, c.remove...)) // once more changes nothing
			e.holds(id, c.left...)
		})
	}
}

// A field that was removed and derived again is derived: nothing is remembered of the one before.
func TestRemovedFieldIsNotRememberedAsGiven(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"ssn9": "123456789", "ssn4": "0000"})
	e.must(e.remove(id, "ssn4"))
	r, err := e.store.Get(t.Context(), id)
	e.must(err)
	if r.Own != nil {
		t.Fatalf("remembered: %v", r.Own)
	}
	e.must(e.patch(id, map[string]string{"ssn9": "123456789"}))
	e.must(e.remove(id, "ssn9"))
	e.holds(id)
}

// The reference derives as we do and marks nothing.
func TestDerivedFieldsOfTheReferencesRecordsGoWithTheirSource(t *testing.T) {
	e := setup(t)
	for encoding, id := range map[int]string{store.EncodingHex: "v_old_hex", store.EncodingBinary: "v_old_binary"} {
		e.legacy(id, encoding, map[string]string{"ssn9": "123456789", "ssn4": "6789", "city": "Bern"})
		e.must(e.remove(id, "ssn9"))
		e.holds(id, "city")
	}
}

func TestTheAuditNamesDerivedFieldsThatWereRemoved(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"ssn9": "123456789"})
	e.must(e.remove(id, "ssn9"))
	list, _, err := e.Audit(t.Context(), e.caller, id, store.Page{})
	e.must(err)
	if got := list[1].Fields; !slices.Equal(got, []string{"ssn9", "ssn4"}) {
		t.Fatalf("fields %v", got)
	}
}

func TestARightToOneFieldWritesAndRemovesNoOther(t *testing.T) {
	policy, err := auth.ParsePolicy([]byte(`
rules:
  - {principals: ["key:source"], operations: [create, update, delete, read], fields: [ssn9]}
  - {principals: ["key:view"], operations: [create, update, delete, read], fields: [ssn4]}
  - {principals: ["key:both"], operations: ["*"], fields: [ssn9, ssn4]}
`))
	if err != nil {
		t.Fatal(err)
	}
	e := setup(t, func(c *vault.Config) { c.Policy = policy })
	as := func(name string) { e.caller.Principal = auth.Principal{Name: name} }
	as("key:both")
	id := e.create(map[string]string{"ssn9": "123456789", "ssn4": "0000"})
	as("key:source")
	for _, values := range []map[string]string{{"ssn9": "987654321"}, {"ssn9": "987654321", "ssn4": "4321"}} {
		_, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: values})
		e.want(err, auth.ErrForbidden)
		e.want(e.patch(id, values), auth.ErrForbidden)
	}
	e.want(e.remove(id, "ssn9"), auth.ErrForbidden)
	as("key:view")
	e.want(e.patch(id, map[string]string{"ssn9": "987654321"}), auth.ErrForbidden)
	e.want(e.remove(id, "ssn9"), auth.ErrForbidden)
	e.must(e.patch(id, map[string]string{"ssn4": "1111"}))
	as("key:both")
	if got := e.decrypt(id, "ssn9", "ssn4"); got["ssn9"] != `"123456789"` || got["ssn4"] != `"1111"` {
		t.Fatalf("values %v", got)
	}
	e.must(e.patch(id, map[string]string{"ssn9": "987654321"}))
	if got := e.decrypt(id, "ssn4"); got["ssn4"] != `"4321"` {
		t.Fatalf("values %v", got)
	}
	e.must(e.remove(id, "ssn9"))
	e.holds(id)
}
