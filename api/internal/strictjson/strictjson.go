// Package strictjson reads the API's request bodies without tolerance. A repeated key, an unknown key, a wrong type,
// invalid UTF-8, half a surrogate pair, anything after the value, or too deep a nesting is an error.
//
// Two readers of one lenient document can understand different things, and attackers use that to bypass checks. A
// misspelt key that is silently ignored is data that is not stored. Errors name the key and never repeat a value. At
// most [schema.MaxProblems] of them are listed, so that an answer stays small whatever the request holds.
//
// A body makes its server hold only what the route asks for, whatever the body contains. The document is checked and
// its values are counted before anything of it is kept. Then an object knows the places of its members, and no more.
// A value is made when the route reads it, if it has the type and the size that the route wants.
//
// Source: RFC 8259; RFC 7493 (I-JSON), section 2.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"

	"redoubt/api/internal/schema"
	"redoubt/wire/kit/jsonscan"
)

// Texts of problems.
const (
	textMalformed = "is not valid JSON"
	textValues    = "has too many values, at most "
	textString    = "must be a string"
	textBool      = "must be true or false"
	textList      = "must be a list of strings"
	textMap       = "must be an object of strings"
	textObject    = "must be an object"
	textRequired  = "is required"
	textMany      = "has too many entries"
	textKey       = "has a key that is too long"
)

const (
	// body names the whole document in a problem.
	body = "body"
	// maxKey bounds a key in bytes. No route has a key of that length.
	maxKey = 1024
)

// Object is a JSON object that is being read. Its methods collect problems, and Done returns them. It borrows the
// document.
type Object struct {
	values   map[string][]byte // the members' JSON
	path     string
	problems *schema.FieldErrors
}

// Parse reads a document whose top is an object. values bounds the number of its values, with the object itself. The
// error is a schema.FieldErrors.
func Parse(data []byte, values int) (*Object, error) {
	switch err := jsonscan.Check(data, values); {
	case errors.Is(err, jsonscan.ErrValues):
		return nil, schema.FieldErrors{{Field: body, Text: textValues + strconv.Itoa(values)}}
	case err != nil:
		return nil, schema.FieldErrors{{Field: body, Text: textMalformed}}
	}
	data = data[jsonscan.SkipSpace(data, 0):]
	if data[0] != '{' {
		return nil, schema.FieldErrors{{Field: body, Text: textObject}}
	}
	o := &Object{problems: &schema.FieldErrors{}}
	o.values = o.members("", data)
	if len(*o.problems) > 0 {
		return nil, *o.problems
	}
	return o, nil
}

// members finds the members of an object.
func (o *Object) members(path string, data []byte) map[string][]byte {
	m := map[string][]byte{}
	jsonscan.Each(data, func(quoted, value []byte) bool {
		if len(quoted) > maxKey {
			o.add(join(path, ""), textKey)
			return true
		}
		key := unquote(quoted)
		if _, twice := m[key]; twice {
			o.add(join(path, key), schema.TextTwice)
		}
		m[key] = value
		return true
	})
	return m
}

// unquote reads a string that has been checked.
func unquote(data []byte) (s string) {
	if bytes.IndexByte(data, '\\') < 0 {
		return string(data[1 : len(data)-1])
	}
	_ = json.Unmarshal(data, &s)
	return s
}

func join(path, key string) string {
	key = schema.PublicName(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

func (o *Object) add(name, text string) {
	o.problems.Add(schema.Problem{Field: name, Text: text})
}

// take removes a member. null counts as absent unless the member is required.
func (o *Object) take(name string, required bool) ([]byte, bool) {
	v, ok := o.values[name]
	delete(o.values, name)
	if required && !ok {
		o.add(join(o.path, name), textRequired)
	}
	return v, ok && (string(v) != "null" || required)
}

// String reads a string of at most limit bytes.
func (o *Object) String(name string, required bool, limit int) string {
	v, ok := o.take(name, required)
	switch {
	case !ok:
		return ""
	case v[0] != '"':
		o.add(join(o.path, name), textString)
		return ""
	case len(v) <= jsonscan.MaxEscaped*limit+2:
		if s := unquote(v); len(s) <= limit {
			return s
		}
	}
	o.add(join(o.path, name), schema.TextLong)
	return ""
}

// Bool reads a boolean, false if absent.
func (o *Object) Bool(name string) bool {
	v, ok := o.take(name, false)
	if ok && string(v) != "true" && string(v) != "false" {
		o.add(join(o.path, name), textBool)
	}
	return string(v) == "true"
}

// Strings reads a list of at most limit strings, nil if absent.
func (o *Object) Strings(name string, required bool, limit int) []string {
	v, ok := o.take(name, required)
	if !ok {
		return nil
	}
	out, problem := []string{}, ""
	if v[0] != '[' {
		problem = textList
	} else {
		jsonscan.Each(v, func(_, value []byte) bool {
			switch {
			case value[0] != '"':
				problem = textList
			case len(out) == limit:
				problem = textMany
			default:
				out = append(out, unquote(value))
			}
			return problem == ""
		})
	}
	if problem != "" {
		o.add(join(o.path, name), problem)
		return nil
	}
	return out
}

// StringMap reads an object of at most limit strings, nil if absent.
func (o *Object) StringMap(name string, limit int) map[string]string {
	v, ok := o.take(name, false)
	if !ok {
		return nil
	}
	path := join(o.path, name)
	if v[0] != '{' {
		o.add(path, textMap)
		return nil
	}
	m := o.members(path, v)
	if len(m) > limit {
		o.add(path, textMany)
		return nil
	}
	return o.stringMap(path, m)
}

func (o *Object) stringMap(path string, m map[string][]byte) map[string]string {
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k][0] != '"' {
			o.add(join(path, k), textString)
			continue
		}
		out[k] = unquote(m[k])
	}
	return out
}

// All reads every member as a string.
func (o *Object) All() map[string]string {
	out := o.stringMap(o.path, o.values)
	clear(o.values)
	return out
}

// Object reads a member that is an object, and returns nil if it is absent. Done of the outer object ends it too.
func (o *Object) Object(name string) *Object {
	v, ok := o.take(name, false)
	if !ok {
		return nil
	}
	in := &Object{path: join(o.path, name), problems: o.problems}
	if v[0] != '{' {
		o.add(in.path, textObject)
		return in
	}
	in.values = o.members(in.path, v)
	return in
}

// Unknown reports each member that was not read.
func (o *Object) Unknown() {
	if len(o.values) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(o.values)) {
		o.add(join(o.path, k), schema.TextUnknown)
	}
}

// Done reports unknown members and returns all problems as a schema.FieldErrors, or nil.
func (o *Object) Done() error {
	o.Unknown()
	if len(*o.problems) == 0 {
		return nil
	}
	return *o.problems
}
