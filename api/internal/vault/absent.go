package vault

import (
	"maps"
	"regexp"

	"redoubt/api/internal/upstream"
)

// addNulls makes absent fields null for the expressions that name them, by an expression of that name, and returns
// which it added. An expression that has the name of an absent field needs none: the enclave gives it null. Where the
// parent takes no more expressions, what names the field fails.
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
	up.Expressions = maps.Clone(up.Expressions) // the caller's is not ours
	for _, name := range added {
		up.Expressions[name] = "null"
	}
	return added
}

// named tells whether a source may refer to a field: whether it has the name as a word.
func named(sources map[string]string, name string) bool {
	word := regexp.MustCompile(`\b` + name + `\b`) // of letters, digits and underscores
	for _, source := range sources {
		if word.MatchString(source) {
			return true
		}
	}
	return false
}
