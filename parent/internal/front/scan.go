package front

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// Bounds of a JSON document, checked before it reaches the parser: the parser keeps 80 bytes for each value and
// recurses, so a body of a megabyte could otherwise cost a hundred.
const (
	// maxDepth is how deep objects and arrays may nest (serde_json's limit, which the reference inherits).
	maxDepth = 128
	// maxValues bounds the values of one request, those under ignored keys included.
	maxValues = 4096
)

var (
	// errSyntax says that a document is not JSON (RFC 8259), the others that it is beyond the bounds above.
	errSyntax = errors.New("body is not valid json")
	errDepth  = errors.New("body nests deeper than 128 levels")
	errValues = errors.New("body holds too many values: at most 4096 in a request")
)

// scanner walks a JSON document without building it. It is strict: UTF-8 only, no control characters in strings,
// no lone surrogates, numbers by the grammar.
type scanner struct {
	b      []byte
	budget int // values that may still come
}

// checkJSON reports whether b is exactly one JSON document within the bounds, and of at most that many values.
func checkJSON(b []byte, values int) error {
	if !utf8.Valid(b) {
		return errSyntax
	}
	s := scanner{b: b, budget: values}
	i, err := s.value(skipSpace(b, 0))
	if err != nil {
		return err
	}
	if skipSpace(b, i) != len(b) {
		return errSyntax
	}
	return nil
}

// value walks the value that begins at i and returns the index after it. It keeps no stack but one bit a level.
func (s *scanner) value(i int) (int, error) {
	var inObject [maxDepth + 1]bool
	depth := 0
	for {
		if s.budget--; s.budget < 0 {
			return i, errValues
		}
		if i >= len(s.b) {
			return i, errSyntax
		}
		var err error
		open := false
		switch c := s.b[i]; c {
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, errDepth
			}
			inObject[depth] = c == '{'
			i = skipSpace(s.b, i+1)
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

// after closes what ends at i and moves to where the next value begins; depth is 0 when the outermost has ended.
func (s *scanner) after(i, depth int, open bool, inObject *[maxDepth + 1]bool) (next, level int, err error) {
	for depth > 0 {
		i = skipSpace(s.b, i)
		if i >= len(s.b) {
			return i, depth, errSyntax
		}
		closing := byte(']')
		if inObject[depth] {
			closing = '}'
		}
		switch {
		case s.b[i] == closing:
			i++
			depth--
			open = false
			continue
		case open:
		case s.b[i] == ',':
			i = skipSpace(s.b, i+1)
		default:
			return i, depth, errSyntax
		}
		if inObject[depth] {
			if i, err = s.key(i); err != nil {
				return i, depth, err
			}
		}
		return i, depth, nil
	}
	return i, 0, nil
}

// key walks an object's key and its colon and returns where the value begins.
func (s *scanner) key(i int) (int, error) {
	i, err := s.str(i)
	if err != nil {
		return i, err
	}
	i = skipSpace(s.b, i)
	if i >= len(s.b) || s.b[i] != ':' {
		return i, errSyntax
	}
	return skipSpace(s.b, i+1), nil
}

func (s *scanner) scalar(i int) (int, error) {
	switch s.b[i] {
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

func (s *scanner) literal(i int, want string) (int, error) {
	if len(s.b)-i < len(want) || string(s.b[i:i+len(want)]) != want {
		return i, errSyntax
	}
	return i + len(want), nil
}

// number walks a number: an optional minus, digits without a leading zero, fraction, exponent.
func (s *scanner) number(i int) (int, error) {
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	first := i
	i = s.digits(i)
	if i == first || s.b[first] == '0' && i > first+1 {
		return i, errSyntax
	}
	if i < len(s.b) && s.b[i] == '.' {
		from := i + 1
		if i = s.digits(from); i == from {
			return i, errSyntax
		}
	}
	if i < len(s.b) && (s.b[i] == 'e' || s.b[i] == 'E') {
		from := i + 1
		if from < len(s.b) && (s.b[from] == '+' || s.b[from] == '-') {
			from++
		}
		if i = s.digits(from); i == from {
			return i, errSyntax
		}
	}
	return i, nil
}

func (s *scanner) digits(i int) int {
	for i < len(s.b) && s.b[i] >= '0' && s.b[i] <= '9' {
		i++
	}
	return i
}

// str walks a string from its opening quote.
func (s *scanner) str(i int) (int, error) {
	if i >= len(s.b) || s.b[i] != '"' {
		return i, errSyntax
	}
	i++
	n := bytes.IndexByte(s.b[i:], '"')
	if n < 0 {
		return i, errSyntax
	}
	if plain(s.b[i : i+n]) {
		return i + n + 1, nil
	}
	for i < len(s.b) {
		switch c := s.b[i]; {
		case c == '"':
			return i + 1, nil
		case c < 0x20:
			return i, errSyntax
		case c != '\\':
			i++
		default:
			n := escape(s.b[i:])
			if n == 0 {
				return i, errSyntax
			}
			i += n
		}
	}
	return i, errSyntax
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}
