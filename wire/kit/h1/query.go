package h1

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Parameter is one name=value of a query string.
type Parameter struct{ Name, Value string }

// Query reads a query string, in the order of its parameters. ok is false if a part has no "=", an escape is broken, or
// something is no UTF-8. A semicolon is refused as well, since some readers take it for an ampersand. The standard
// library leaves such parts out in silence: what they ask for is then not done, and nobody is told.
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
