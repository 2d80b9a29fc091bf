package vault_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"redoubt/api/internal/vault"
)

func TestAbsentFieldsAreNullToTheExpressionsThatNameThem(t *testing.T) {
	type sources = map[string]string
	many := sources{"a": "city"}
	for i := len(many); i < vault.MaxExpressions; i++ {
		many[fmt.Sprintf("n%d", i)] = "1"
	}
	for name, c := range map[string]struct {
		fields      []string
		include     *[]string
		expressions sources
		added       []string
		data        []string
	}{
		"named":           {[]string{"city", "email"}, nil, sources{"a": "city == null"}, []string{"city"}, []string{"a", "city", "email"}},
		"named, left out": {[]string{"city", "email"}, &[]string{"email"}, sources{"a": "[city]"}, []string{"city"}, []string{"a", "email"}},
		"two named":       {[]string{"city", "state"}, nil, sources{"a": "city", "b": "state"}, []string{"city", "state"}, []string{"a", "b", "city", "state"}},
		"not named":       {[]string{"city", "email"}, nil, sources{"a": "city2 + capacity + email"}, nil, []string{"a", "city", "email"}},
		"not requested":   {[]string{"email"}, nil, sources{"a": "city"}, nil, []string{"a", "email"}},
		"there":           {[]string{"email"}, nil, sources{"a": "email"}, nil, []string{"a", "email"}},
		"its own name":    {[]string{"city"}, nil, sources{"city": "city == null"}, nil, []string{"city"}},
		"no room":         {[]string{"city"}, nil, many, nil, append(slices.Collect(maps.Keys(many)), "city")},
	} {
		t.Run(name, func(t *testing.T) {
			e := setup(t)
			id := e.create(map[string]string{"email": "a@example.com"})
			asked := maps.Clone(c.expressions)
			out, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{
				ID: id, Fields: c.fields, Include: c.include, Expressions: c.expressions, Reason: "test",
			})
			e.must(err)
			sent := maps.Clone(e.world.Last().Expressions)
			for _, name := range c.added {
				if sent[name] != "null" {
					t.Errorf("%s is not null: %v", name, sent)
				}
				delete(sent, name)
			}
			if !maps.Equal(sent, asked) || !maps.Equal(c.expressions, asked) {
				t.Errorf("sent %v, asked %v, then %v", sent, asked, c.expressions)
			}
			slices.Sort(c.data)
			if got := slices.Sorted(maps.Keys(out.Data)); !slices.Equal(got, c.data) || len(out.Errors) != 0 {
				t.Errorf("data %v, want %v; errors %v", got, c.data, out.Errors)
			}
			entry := e.opened(&vault.DecryptRequest{ID: id, Fields: c.fields, Expressions: c.expressions, Reason: "test"})
			if !slices.Equal(entry.Expressions, slices.Sorted(maps.Keys(asked))) {
				t.Errorf("audited: %v", entry.Expressions)
			}
		})
	}
}
