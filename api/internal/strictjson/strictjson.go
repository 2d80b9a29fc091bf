// Package strictjson reads request bodies without tolerance: a repeated key, an unknown key, a wrong type, invalid
// UTF-8, half a surrogate pair, anything after the value, or too deep a nesting is an error.
//
// Two readers of one lenient document can understand different things, which is how checks are passed by; and a
// misspelt key that is ignored silently is data that is not stored. Errors name the key and never repeat a value. At
// most [schema.MaxProblems] of them are told, so that an answer stays small whatever the request holds.
//
// Source: RFC 8259; RFC 7493 (I-JSON), section 2.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"redoubt/api/internal/schema"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 8

// Texts of problems.
const (
	textMalformed = "is not valid JSON"
	textString    = "must be a string"
	textBool      = "must be true or false"
	textList      = "must be a list of strings"
	textMap       = "must be an object of strings"
	textObject    = "must be an object"
	textRequired  = "is required"
	textMany      = "has too many entries"
)

// body names the whole document in a problem.
const body = "body"

var errMalformed = errors.New("strictjson: malformed")

// Object is a JSON object that is being read. Its methods collect problems; Done returns them.
type Object struct {
	values   map[string]any
	path     string
	problems *schema.FieldErrors
}

// Parse reads a document whose top is an object. The error is a schema.FieldErrors.
func Parse(data []byte) (*Object, error) {
	o := &Object{problems: &schema.FieldErrors{}}
	d := &decoder{json.NewDecoder(bytes.NewReader(data)), o}
	if !utf8.Valid(data) || loneSurrogate(data) {
		return nil, schema.FieldErrors{{Field: body, Text: textMalformed}}
	}
	d.UseNumber()
	v, err := d.value("", 0)
	if err == nil {
		_, err = d.Token()
		if !errors.Is(err, io.EOF) {
			err = errMalformed
		} else {
			err = nil
		}
	}
	if err != nil {
		return nil, schema.FieldErrors{{Field: body, Text: textMalformed}}
	}
	if len(*o.problems) > 0 {
		return nil, *o.problems
	}
	values, ok := v.(map[string]any)
	if !ok {
		return nil, schema.FieldErrors{{Field: body, Text: textObject}}
	}
	o.values = values
	return o, nil
}

type decoder struct {
	*json.Decoder
	o *Object
}

// value reads one value: nil, bool, json.Number, string, []any or map[string]any.
func (d *decoder) value(path string, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, errMalformed
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth > MaxDepth {
		return nil, errMalformed
	}
	if open == '[' {
		list := []any{}
		for d.More() {
			v, err := d.value(path, depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return d.object(path, depth)
}

func (d *decoder) object(path string, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errMalformed
		}
		v, err := d.value(join(path, key), depth)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			d.o.add(join(path, key), schema.TextTwice)
		}
		m[key] = v
	}
	_, err := d.Token()
	return m, err
}

// loneSurrogate finds \uD800 to \uDFFF escapes that are not a pair; encoding/json would replace them silently.
func loneSurrogate(data []byte) bool {
	for i := 0; i+5 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if data[i+1] != 'u' {
			i++ // the escaped character is not the beginning of an escape
			continue
		}
		switch hi := unit(data[i+2 : i+6]); {
		case hi >= 0xdc00 && hi <= 0xdfff:
			return true
		case hi >= 0xd800 && hi <= 0xdbff:
			if i+11 >= len(data) || data[i+6] != '\\' || data[i+7] != 'u' {
				return true
			}
			if lo := unit(data[i+8 : i+12]); lo < 0xdc00 || lo > 0xdfff {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

func unit(digits []byte) (n int) {
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
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

// take removes a member; null counts as absent unless it is required.
func (o *Object) take(name string, required bool) (any, bool) {
	v, ok := o.values[name]
	delete(o.values, name)
	if required && !ok {
		o.add(join(o.path, name), textRequired)
	}
	return v, ok && (v != nil || required)
}

// String reads a string of at most limit bytes.
func (o *Object) String(name string, required bool, limit int) string {
	v, ok := o.take(name, required)
	if !ok {
		return ""
	}
	s, isString := v.(string)
	switch {
	case !isString:
		o.add(join(o.path, name), textString)
	case len(s) > limit:
		o.add(join(o.path, name), schema.TextLong)
	}
	return s
}

// Bool reads a boolean, false if absent.
func (o *Object) Bool(name string) bool {
	v, ok := o.take(name, false)
	if !ok {
		return false
	}
	b, isBool := v.(bool)
	if !isBool {
		o.add(join(o.path, name), textBool)
	}
	return b
}

// Strings reads a list of at most limit strings, nil if absent.
func (o *Object) Strings(name string, required bool, limit int) []string {
	v, ok := o.take(name, required)
	if !ok {
		return nil
	}
	list, isList := v.([]any)
	if !isList {
		o.add(join(o.path, name), textList)
		return nil
	}
	if len(list) > limit {
		o.add(join(o.path, name), textMany)
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], ok = v.(string); !ok {
			o.add(join(o.path, name), textList)
			return nil
		}
	}
	return out
}

// StringMap reads an object of at most limit strings, nil if absent.
func (o *Object) StringMap(name string, limit int) map[string]string {
	v, ok := o.take(name, false)
	if !ok {
		return nil
	}
	m, isMap := v.(map[string]any)
	if !isMap {
		o.add(join(o.path, name), textMap)
		return nil
	}
	if len(m) > limit {
		o.add(join(o.path, name), textMany)
		return nil
	}
	return o.stringMap(join(o.path, name), m)
}

func (o *Object) stringMap(path string, m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s, ok := m[k].(string)
		if !ok {
			o.add(join(path, k), textString)
		}
		out[k] = s
	}
	return out
}

// All reads every member as a string.
func (o *Object) All() map[string]string {
	out := o.stringMap(o.path, o.values)
	clear(o.values)
	return out
}

// Object reads a member that is an object; nil if absent. The caller ends it with Done of the outer object.
func (o *Object) Object(name string) *Object {
	v, ok := o.take(name, false)
	if !ok {
		return nil
	}
	m, isMap := v.(map[string]any)
	if !isMap {
		o.add(join(o.path, name), textObject)
		m = nil
	}
	return &Object{values: m, path: join(o.path, name), problems: o.problems}
}

// Unknown reports each member that was not read.
func (o *Object) Unknown() {
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
