package httpapi

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"redoubt/api/internal/schema"
)

// TestTheDocumentHasTheParametersThatARouteReads, and no others.
func TestTheDocumentHasTheParametersThatARouteReads(t *testing.T) {
	d := &document{
		schema: schema.Default(), types: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
	}
	for _, r := range routes() {
		var documented []string
		if r.request != nil {
			in := r.request(d)
			for _, p := range in.params {
				if p.In == "query" {
					documented = append(documented, p.Name)
				}
			}
			if (in.body != nil) != (r.values > 0) {
				t.Errorf("%s: a body %v, of %d values", r.id, in.body != nil, r.values)
			}
		}
		slices.Sort(documented)
		if read := slices.Sorted(slices.Values(r.query)); !slices.Equal(documented, read) {
			t.Errorf("%s reads %q, documented are %q", r.id, read, documented)
		}
	}
}

// TestTheReadmeSaysWhatToDoOfEachError: a code that a caller may meet stands in its table.
func TestTheReadmeSaysWhatToDoOfEachError(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := []string{
		errTooLarge.code, errLate.code, errMalformed.code, errMediaType.code, "internal", "method_not_allowed",
		"cross_origin", "rate_limited", "fields_too_large", "overloaded", "answer_too_large",
	}
	for _, f := range fixed {
		codes = append(codes, f.as.code)
	}
	for c := range upstreamErrors {
		codes = append(codes, c.String())
	}
	for _, c := range codes {
		if !strings.Contains(string(readme), "`"+c+"`") {
			t.Errorf("%s is not in the table", c)
		}
	}
}
