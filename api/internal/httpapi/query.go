package httpapi

import (
	"slices"

	"redoubt/api/internal/schema"
	"redoubt/wire/kit/h1"
)

// Texts of problems with a query string.
const (
	textQuery     = "must be name=value, joined by &, with valid escapes"
	textParameter = "is not a parameter of this route"
)

// parseQuery reads a query string as strictly as a body. It refuses a part that does not parse, an unknown name and a
// repeated one. If a misspelt ttl were ignored, the record would never expire.
func parseQuery(raw string, known []string) (map[string]string, error) {
	if raw == "" {
		return nil, nil
	}
	all, ok := h1.Query(raw)
	if !ok {
		return nil, schema.FieldErrors{{Field: "query", Text: textQuery}}
	}
	query := make(map[string]string, len(all))
	var problems schema.FieldErrors
	for _, p := range all {
		_, twice := query[p.Name]
		switch {
		case !slices.Contains(known, p.Name):
			problems.Add(schema.Problem{Field: schema.PublicName(p.Name), Text: textParameter})
		case twice:
			problems.Add(schema.Problem{Field: p.Name, Text: schema.TextTwice})
		}
		query[p.Name] = p.Value
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return query, nil
}
