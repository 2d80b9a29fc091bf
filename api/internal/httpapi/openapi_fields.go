package httpapi

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/vault"
)

// space matches what strings.TrimSpace removes, in every dialect of regular expressions.
const space = `[\t\n\v\f\r ` + "\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"

// trimmed is the pattern of a value or a name that is trimmed before it is checked.
func trimmed(pattern string) string { return "^" + space + "(?:" + ecma(pattern) + ")" + space + "$" }

var codePoint = regexp.MustCompile(`\\x\{([0-9A-Fa-f]{4})\}`)

// ecma writes RE2's code points of four digits in the form of other dialects.
func ecma(pattern string) string { return codePoint.ReplaceAllString(pattern, `\u$1`) }

// content is the schema of a vault's fields. Values are trimmed before they are checked. So a pattern allows space
// around the value. A limit of length cannot do so, and is stated in words.
func (d *document) content() *huma.Schema {
	s := &huma.Schema{Type: "object", AdditionalProperties: false, Properties: map[string]*huma.Schema{}}
	for _, f := range d.schema.Fields {
		p := &huma.Schema{Type: "string", Description: describe(&f)}
		if f.MinLength > 0 {
			p.MinLength = ptr(f.MinLength)
		}
		if f.Pattern != "" {
			p.Pattern = trimmed(f.Pattern)
		}
		s.Properties[f.Name] = p
	}
	return s
}

func describe(f *schema.Field) string {
	limits := fmt.Sprintf("%d to %d characters, without white space around them", f.MinLength, f.MaxLength)
	if f.Description == "" {
		return limits
	}
	return f.Description + ". " + limits
}

func nullable(s *huma.Schema) *huma.Schema {
	s.Nullable = true
	return s
}

func stringList(limit int) *huma.Schema {
	return &huma.Schema{Type: "array", MaxItems: ptr(limit), Items: &huma.Schema{Type: "string"}}
}

// fieldList is a list of names of the schema, which callers may write in capitals and with space around them.
func (d *document) fieldList() *huma.Schema {
	var names []string
	for _, n := range d.schema.Names() {
		names = append(names, anyCase(n))
	}
	s := stringList(vault.MaxFields)
	s.Items.Pattern = trimmed(strings.Join(names, "|"))
	s.Items.Description = "Name of a field, in any case: " + strings.Join(d.schema.Names(), ", ")
	return s
}

// removedList is a list of names that a schema may once have had.
func removedList() *huma.Schema {
	s := stringList(vault.MaxFields)
	s.Items.Pattern = trimmed(fmt.Sprintf("[A-Za-z][A-Za-z0-9_]{0,%d}", schema.MaxName-1))
	s.Items.Description = "Name of a field, in any case; it may have left the schema, and must not be a reserved name"
	return s
}

// anyCase is a pattern for a name of ASCII letters, digits and underscores in any case.
func anyCase(name string) string {
	var b strings.Builder
	for _, c := range name {
		if 'a' <= c && c <= 'z' {
			fmt.Fprintf(&b, "[%c%c]", c-'a'+'A', c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}
