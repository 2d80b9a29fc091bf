package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/httpapi"
)

// Before, each of these was ignored: a record that was to expire did not.
func TestQueryStringsAreReadAsStrictlyAsBodies(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	queries := []struct{ query, field string }{
		{"ttl=60;x=1", "query"},
		{"ttl=60%", "query"},
		{"ttl=60&x=%zz", "query"},
		{"ttl=60&", "query"},
		{"&ttl=60", "query"},
		{"ttl", "query"},
		{"ttl=60&x=%ff", "query"},
		{"=60", "(unnamed)"},
		{"tll=60", "tll"},
		{"TTL=60", "(unnamed)"},
		{"ttl=60&ttl=60", "ttl"},
		{"ttl=60&%74tl=61", "ttl"},
		{"ttl=60&limit=1", "limit"},
		{"ttl=60&x=1", "x"},
		{"ttl=", "ttl"},
	}
	for _, q := range queries {
		for _, at := range [][2]string{{"POST", "/v1/vaults"}, {"PATCH", "/v1/vaults/" + id}} {
			wantProblem(t, a, at[0], at[1]+"?"+q.query, q.field)
		}
	}
	for _, q := range []struct{ query, field string }{
		{"fields=dob&fields=ssn9", "fields"}, {"field=dob", "field"}, {"fields=dob;ssn9", "query"}, {"fields", "query"},
	} {
		wantProblem(t, a, "GET", "/v1/vaults/"+id+"?"+q.query, q.field)
	}
	for _, path := range []string{"/v1/vaults", "/v1/vaults/" + id + "/audit"} {
		wantProblem(t, a, "GET", path+"?limit=1&limit=2", "limit")
		wantProblem(t, a, "GET", path+"?cursor=&cursor=", "cursor")
		wantProblem(t, a, "GET", path+"?page=2", "page")
	}
}

func wantProblem(t *testing.T, a *apitest.API, method, path, field string) {
	t.Helper()
	body := ""
	if method != "GET" {
		body = `{}`
	}
	r := a.Do(method, path, body)
	var e httpapi.ErrorBody
	if err := json.Unmarshal([]byte(r.Body), &e); err != nil || r.Status != 422 || len(e.Errors) == 0 ||
		e.Errors[0].Field != field {
		t.Errorf("%s %s: %d %s, want 422 for %q", method, path, r.Status, strings.TrimSpace(r.Body), field)
	}
}
