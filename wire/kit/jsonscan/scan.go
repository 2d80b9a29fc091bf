package jsonscan

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest (serde_json's limit, which the reference inherits).
const MaxDepth = 128

// These errors report a document that is not JSON (RFC 8259), or one beyond a bound.
var (
	ErrSyntax = errors.New("body is not valid json")
	ErrDepth  = errors.New("body nests deeper than 128 levels")
	ErrValues = errors.New("body holds too many values")
)

// Scanner walks over values of a document, which MUST be valid UTF-8.
type Scanner struct {
	B      []byte
	Values int // how many more values are allowed
}

// Check reports whether b is exactly one JSON document within the bounds, and of at most that many values.
func Check(b []byte, values int) error {
	if !utf8.Valid(b) {
		return ErrSyntax
	}
	s := Scanner{B: b, Values: values}
	i, err := s.Value(SkipSpace(b, 0))
	if err != nil {
		return err
	}
	if SkipSpace(b, i) != len(b) {
		return ErrSyntax
	}
	return nil
}

// Value walks over the value that begins at i, and returns the index after it. It keeps no stack but one bit a level.
func (s *Scanner) Value(i int) (int, error) {
	var inObject [MaxDepth + 1]bool
	depth := 0
	for {
		if s.Values--; s.Values < 0 {
			return i, ErrValues
		}
		if i >= len(s.B) {
			return i, ErrSyntax
		}
		var err error
		open := false
		switch c := s.B[i]; c {
		case '{', '[':
			if depth++; depth > MaxDepth {
				return i, ErrDepth
			}
			inObject[depth] = c == '{'
			i = SkipSpace(s.B, i+1)
			open = true
		default:
			i, err = s.scalar(i)
		}
		if err != nil {
			return i, err
		}
		if i, depth, err = s.after(i, depth, open, &inObject); err != nil || depth == 0 {
			return i, err
		}
	}
}

// after closes the levels that end at i and moves to where the next value begins. depth is 0 when the outermost value
// has ended.
func (s *Scanner) after(i, depth int, open bool, inObject *[MaxDepth + 1]bool) (next, level int, err error) {
	for depth > 0 {
		i = SkipSpace(s.B, i)
		if i >= len(s.B) {
			return i, depth, ErrSyntax
		}
		closing := byte(']')
		if inObject[depth] {
			closing = '}'
		}
		switch {
		case s.B[i] == closing:
			i++
			depth--
			open = false
			continue
		case open:
		case s.B[i] == ',':
			i = SkipSpace(s.B, i+1)
		default:
			return i, depth, ErrSyntax
		}
		if inObject[depth] {
			if i, err = s.Key(i); err != nil {
				return i, depth, err
			}
		}
		return i, depth, nil
	}
	return i, 0, nil
}

// Key walks an object's key and its colon and returns where the value begins.
func (s *Scanner) Key(i int) (int, error) {
	i, err := s.str(i)
	if err != nil {
		return i, err
	}
	i = SkipSpace(s.B, i)
	if i >= len(s.B) || s.B[i] != ':' {
		return i, ErrSyntax
	}
	return SkipSpace(s.B, i+1), nil
}

func (s *Scanner) scalar(i int) (int, error) {
	switch s.B[i] {
	case '"':
		return s.str(i)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	return s.number(i)
}

func (s *Scanner) literal(i int, want string) (int, error) {
	if len(s.B)-i < len(want) || string(s.B[i:i+len(want)]) != want {
		return i, ErrSyntax
	}
	return i + len(want), nil
}

// number walks a number: an optional minus, digits without a leading zero, fraction, exponent.
func (s *Scanner) number(i int) (int, error) {
	if i < len(s.B) && s.B[i] == '-' {
		i++
	}
	first := i
	i = s.digits(i)
	if i == first || s.B[first] == '0' && i > first+1 {
		return i, ErrSyntax
	}
	if i < len(s.B) && s.B[i] == '.' {
		from := i + 1
		if i = s.digits(from); i == from {
			return i, ErrSyntax
		}
	}
	if i < len(s.B) && (s.B[i] == 'e' || s.B[i] == 'E') {
		from := i + 1
		if from < len(s.B) && (s.B[from] == '+' || s.B[from] == '-') {
			from++
		}
		if i = s.digits(from); i == from {
			return i, ErrSyntax
		}
	}
	return i, nil
}

func (s *Scanner) digits(i int) int {
	for i < len(s.B) && s.B[i] >= '0' && s.B[i] <= '9' {
		i++
	}
	return i
}

// str walks a string from its opening quote.
func (s *Scanner) str(i int) (int, error) {
	if i >= len(s.B) || s.B[i] != '"' {
		return i, ErrSyntax
	}
	i++
	n := bytes.IndexByte(s.B[i:], '"')
	if n < 0 {
		return i, ErrSyntax
	}
	if plain(s.B[i : i+n]) {
		return i + n + 1, nil
	}
	for i < len(s.B) {
		switch c := s.B[i]; {
		case c == '"':
			return i + 1, nil
		case c < 0x20:
			return i, ErrSyntax
		case c != '\\':
			i++
		default:
			n := escape(s.B[i:])
			if n == 0 {
				return i, ErrSyntax
			}
			i += n
		}
	}
	return i, ErrSyntax
}

// SkipSpace returns the index of the first byte, from i on, that is not white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// Each calls each with the parts of an array or an object, which MUST have passed [Check] and begin with its bracket.
// key is the key's JSON, and nil in an array. It stops when each returns false.
func Each(data []byte, each func(key, value []byte) bool) {
	w := Scanner{B: data, Values: len(data)}
	for i := SkipSpace(data, 1); data[i] != ']' && data[i] != '}'; {
		var key []byte
		if data[0] == '{' {
			end, _ := w.Value(i)
			key = data[i:end]
			i, _ = w.Key(i)
		}
		end, err := w.Value(i)
		if err != nil || !each(key, data[i:end]) { // a checked document has no errors
			return
		}
		if i = SkipSpace(data, end); data[i] == ',' {
			i = SkipSpace(data, i+1)
		}
	}
}
