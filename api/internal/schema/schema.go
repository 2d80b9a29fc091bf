package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"redoubt/wire/kit/program"
)

// Limits of a schema.
const (
	MaxFields      = 100     // fields in one schema; the wire protocol's limit for one request
	MaxName        = 64      // bytes of a field name
	MaxValue       = 1 << 16 // characters that a field may be configured to hold
	DefaultMaxChar = 1024    // characters of a field without max_length
)

// Plain is a pattern of text without control characters and without those that are invisible: bidirectional marks,
// embeddings and isolates, separators of lines and paragraphs, characters without width. The joiners (U+200C, U+200D)
// are part of plain text, since Persian and Indian scripts need them.
const Plain = "[^" + hidden + "]*"

// PlainVisible is a pattern of one character of [Plain] that is not white space.
const PlainVisible = `[^\s` + hidden + "]"

const hidden = `\x00-\x1f\x7f-\x9f` + // control
	`\x{200b}\x{200e}\x{200f}\x{061c}` + // no width, marks
	`\x{2028}-\x{202e}` + // separators, embeddings, overrides
	`\x{2060}-\x{206f}\x{feff}` // no width, isolates

// Field is one field of a schema.
type Field struct {
	// Name has at most [MaxName] bytes, a letter and then letters, digits and underscores, all of them small. Reserved
	// are pk, sk and expire_at.
	Name string `yaml:"name" json:"name"`
	// Description says what the field is. The API's documentation shows it.
	Description string `yaml:"description" json:"description,omitempty"`
	// Pattern is a regular expression (RE2) that the whole trimmed value must match; empty allows any text: line breaks,
	// other control characters, and those that turn or hide text on a page. To refuse these, here or as part of a longer
	// pattern: `[^\x00-\x1f\x7f-\x9f\x{200b}\x{200e}\x{200f}\x{061c}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]*`.
	Pattern string `yaml:"pattern" json:"pattern,omitempty"`
	// MinLength is the least number of characters of the trimmed value, 0 to MaxLength.
	MinLength int `yaml:"min_length" json:"min_length,omitempty"`
	// MaxLength is the largest, up to [MaxValue]. 0, or left out: [DefaultMaxChar].
	MaxLength int `yaml:"max_length" json:"max_length"`
	// Derive makes the field's value from another field's, if the caller gives that field and not this one. A field
	// made in this way is removed together with the other. Writing or removing the other needs the same right to this
	// one.
	Derive *Derive `yaml:"derive" json:"derive,omitempty"`

	re *regexp.Regexp
}

// Derive says how a field follows from another: its first or last characters. Exactly one of First and Last is set.
type Derive struct {
	// From is the name of the other field, which is not derived itself.
	From string `yaml:"from" json:"from"`
	// First is how many characters of its beginning are taken, 1 to [MaxValue], unless Last is set.
	First int `yaml:"first" json:"first,omitempty"`
	// Last is how many characters of its end are taken, 1 to [MaxValue], unless First is set.
	Last int `yaml:"last" json:"last,omitempty"`
}

// Schema is an ordered set of fields. It is immutable after [Parse] and safe for concurrent use.
type Schema struct {
	// Name is the schema's name. The API's documentation shows it.
	Name string `yaml:"name" json:"name"`
	// Fields are the fields that a vault can hold, 1 to [MaxFields].
	Fields []Field `yaml:"fields" json:"fields"`

	byName map[string]int
}

var (
	nameRE   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	reserved = []string{"pk", "sk", "expire_at"}
	// attributes are the attributes of a record, whose names begin with an underscore.
	attributes = []string{"_id", "_v", "_hs", "_sk", "_pk", "_ct", "_mt", "_kc", "_km", "_xf"}
)

func validName(name string) bool { return len(name) <= MaxName && nameRE.MatchString(name) }

// Reserved reports whether name belongs to the store: anything that begins with an underscore, the table's keys and
// its time-to-live attribute.
func Reserved(name string) bool {
	return strings.HasPrefix(name, "_") || slices.Contains(reserved, strings.ToLower(name))
}

// Attribute reports whether records hold keys or metadata under name.
func Attribute(name string) bool {
	return slices.Contains(reserved, name) || slices.Contains(attributes, name)
}

// Normalize returns the form in which a field's name is stored and sealed: trimmed, ASCII letters in lower case.
func Normalize(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r // other letters stay as they are, and match no field
	}, strings.TrimSpace(name))
}

// Lookup finds a field by its normalized name.
func (s *Schema) Lookup(name string) (Field, bool) {
	i, ok := s.byName[name]
	if !ok {
		return Field{}, false
	}
	return s.Fields[i], true
}

// Names returns the field names in the schema's order.
func (s *Schema) Names() []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}

// compile checks the schema and prepares it for use.
func (s *Schema) compile() error {
	if len(s.Fields) == 0 || len(s.Fields) > MaxFields {
		return fmt.Errorf("schema: want 1 to %d fields, have %d", MaxFields, len(s.Fields))
	}
	s.byName = make(map[string]int, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		if err := f.compile(); err != nil {
			return err
		}
		if _, twice := s.byName[f.Name]; twice {
			return fmt.Errorf("schema: field %s appears twice", f.Name)
		}
		s.byName[f.Name] = i
	}
	return s.checkDerived()
}

func (f *Field) compile() error {
	switch {
	case !validName(f.Name):
		return fmt.Errorf("schema: field name %q does not match [a-z][a-z0-9_]* within %d bytes", f.Name, MaxName)
	case Reserved(f.Name):
		return fmt.Errorf("schema: field name %s is reserved", f.Name)
	}
	if f.MaxLength == 0 {
		f.MaxLength = DefaultMaxChar
	}
	if !program.Within(f.MaxLength, 0, MaxValue) || !program.Within(f.MinLength, 0, f.MaxLength) {
		return fmt.Errorf("schema: field %s: lengths must be 0 <= min_length <= max_length <= %d", f.Name, MaxValue)
	}
	if f.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile(`^(?:` + f.Pattern + `)$`)
	if err != nil {
		return fmt.Errorf("schema: field %s: pattern: %w", f.Name, err)
	}
	f.re = re
	return nil
}

func (s *Schema) checkDerived() error {
	for _, f := range s.Fields {
		d := f.Derive
		if d == nil {
			continue
		}
		i, ok := s.byName[d.From]
		switch {
		case !ok || d.From == f.Name:
			return fmt.Errorf("schema: field %s: derive.from names no other field", f.Name)
		case s.Fields[i].Derive != nil:
			return fmt.Errorf("schema: field %s: derive.from names a derived field", f.Name)
		case (d.First != 0) == (d.Last != 0) || !program.Within(d.First+d.Last, 1, MaxValue):
			return fmt.Errorf("schema: field %s: derive needs one of first and last, 1 to %d", f.Name, MaxValue)
		}
	}
	return nil
}
