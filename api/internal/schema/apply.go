package schema

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one rule that an input broke. Neither text ever holds a value that the caller sent: Field is a name of
// the schema, or a caller's key that looks like a field name.
type Problem struct {
	Field string
	Text  string
}

// MaxProblems bounds the problems that are listed for one input. A caller that sends a megabyte of them gets the
// first ones.
const MaxProblems = 32

// FieldErrors is the error for an input that breaks the schema. It is ordered by field and has at most [MaxProblems].
type FieldErrors []Problem

// Add adds a problem, unless there are enough.
func (p *FieldErrors) Add(one Problem) {
	if len(*p) < MaxProblems {
		*p = append(*p, one)
	}
}

func (p FieldErrors) Error() string {
	parts := make([]string, len(p))
	for i, one := range p {
		parts[i] = one.Field + ": " + one.Text
	}
	return "schema: " + strings.Join(parts, "; ")
}

// Texts of problems.
const (
	TextUnknown  = "is not a known field"
	TextReserved = "is a reserved name"
	TextShort    = "is too short"
	TextLong     = "is too long"
	TextPattern  = "does not match the pattern"
	TextUTF8     = "is not UTF-8 text"
	TextTwice    = "is given twice"
)

// PublicName returns a caller's key if it looks like a field name, and otherwise a fixed word, since a key may be a
// value in the wrong place.
func PublicName(key string) string {
	if validName(key) || len(key) <= MaxName && Reserved(key) && nameRE.MatchString(strings.TrimLeft(key, "_")) {
		return key
	}
	return "(unnamed)"
}

// Apply checks values against the schema and returns what is to be stored: values without surrounding white space,
// with derived fields added. A derived field that the caller gives too keeps the caller's value. The error is a
// [FieldErrors]. Names in values must be exact.
func (s *Schema) Apply(values map[string]string) (map[string]string, error) {
	var problems FieldErrors
	out := make(map[string]string, len(values)+1)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f, ok := s.Lookup(name)
		if !ok {
			problems.Add(unknown(name))
			continue
		}
		value := strings.TrimSpace(values[name])
		if text := f.problem(value); text != "" {
			problems.Add(Problem{name, text})
			continue
		}
		out[name] = value
	}
	if problems != nil {
		return nil, problems
	}
	s.derive(out)
	return out, nil
}

func (f *Field) problem(value string) string {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value):
		return TextUTF8
	case n < f.MinLength:
		return TextShort
	case n > f.MaxLength:
		return TextLong
	case f.re != nil && !f.re.MatchString(value):
		return TextPattern
	}
	return ""
}

// Following returns the fields that are derived from the named ones and are not named themselves. They are written
// and removed together with the named ones. Names must be normalized. They need not be in the schema.
func (s *Schema) Following(names []string) []string {
	var out []string
	for _, f := range s.Fields {
		if f.Derive != nil && slices.Contains(names, f.Derive.From) && !slices.Contains(names, f.Name) {
			out = append(out, f.Name)
		}
	}
	return out
}

// Own returns those of the named fields, in their order, that the schema derives from others. A caller that gives one
// of them gives it a value of its own.
func (s *Schema) Own(names []string) []string {
	var out []string
	for _, name := range names {
		if f, ok := s.Lookup(name); ok && f.Derive != nil {
			out = append(out, name)
		}
	}
	return out
}

func (s *Schema) derive(values map[string]string) {
	for _, f := range s.Fields {
		if f.Derive == nil {
			continue
		}
		if _, explicit := values[f.Name]; explicit {
			continue
		}
		if from, ok := values[f.Derive.From]; ok {
			values[f.Name] = f.Derive.cut(from)
		}
	}
}

func (d *Derive) cut(value string) string {
	chars := []rune(value)
	if d.First > 0 {
		return string(chars[:min(d.First, len(chars))])
	}
	return string(chars[max(0, len(chars)-d.Last):])
}

func unknown(name string) Problem {
	if Reserved(name) {
		return Problem{PublicName(name), TextReserved}
	}
	return Problem{PublicName(name), TextUnknown}
}

// Resolve normalizes and checks the field names of a request, in its order. A repeated name is kept once. The error
// is a [FieldErrors] for names that are reserved or not in the schema.
func (s *Schema) Resolve(names []string) ([]string, error) {
	var problems FieldErrors
	out := make([]string, 0, min(len(names), len(s.Fields)))
	for _, raw := range names {
		name := Normalize(raw)
		if _, ok := s.Lookup(name); !ok {
			problems.Add(unknown(name))
			continue
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if problems != nil {
		return nil, problems
	}
	return out, nil
}

// ResolveRemoved is [Schema.Resolve] for fields to be removed, which may have left the schema. It accepts every name
// that a schema could have and that is not reserved.
func (s *Schema) ResolveRemoved(names []string) ([]string, error) {
	var problems FieldErrors
	var out []string
	for _, raw := range names {
		name := Normalize(raw)
		if !validName(name) || Reserved(name) {
			problems.Add(unknown(name))
			continue
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if problems != nil {
		return nil, problems
	}
	return out, nil
}

// Recordable returns, normalized and once each, the names of a refused request that its audit entry may repeat: those
// of the schema and of stored attributes. Anything else that a caller sends as a name may be a value.
func (s *Schema) Recordable(names []string) []string {
	var out []string
	for _, raw := range names {
		name := Normalize(raw)
		if _, ok := s.Lookup(name); (ok || Attribute(name)) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
