package h1

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Parameter is one name=value of a query string.
type Parameter struct{ Name, Value string }

// Query reads a query string, in the order of its parameters. ok is false if a part has no "=", an escape is broken,
// or something is not UTF-8. It also refuses a semicolon, since some readers take it for an ampersand. The standard
// library silently leaves such parts out: the request is then not done as asked, and nobody learns of it.
func Query(raw string) (all []Parameter, ok bool) {
	if raw == "" {
		return nil, true
	}
	for part := range strings.SplitSeq(raw, "&") {
		before, after, found := strings.Cut(part, "=")
		name, badName := url.QueryUnescape(before)
		value, badValue := url.QueryUnescape(after)
		if !found || badName != nil || badValue != nil || strings.ContainsAny(part, ";#") ||
			!utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, false
		}
		all = append(all, Parameter{name, value})
	}
	return all, true
}
