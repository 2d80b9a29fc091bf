package vault

import (
	"maps"
	"regexp"

	"redoubt/api/internal/upstream"
)

// addNulls makes absent fields null for the expressions that name them, by adding an expression of that name, and
// returns the names it added. An expression with the name of an absent field needs none: the enclave gives it null.
// If the parent takes no more expressions, those that name the field fail.
func addNulls(up *upstream.Request, absent []string) []string {
	var added []string
	for _, name := range absent {
		_, taken := up.Expressions[name]
		if taken || len(up.Expressions)+len(added) >= MaxExpressions || !named(up.Expressions, name) {
			continue
		}
		added = append(added, name)
	}
	if len(added) == 0 {
		return nil
	}
	up.Expressions = maps.Clone(up.Expressions) // the caller's map must not change
	for _, name := range added {
		up.Expressions[name] = "null"
	}
	return added
}

// named reports whether a source may refer to a field: whether it contains the name as a word.
func named(sources map[string]string, name string) bool {
	word := regexp.MustCompile(`\b` + name + `\b`) // of letters, digits and underscores
	for _, source := range sources {
		if word.MatchString(source) {
			return true
		}
	}
	return false
}
