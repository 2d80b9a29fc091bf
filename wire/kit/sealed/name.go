package sealed

import "strings"

// MaxName is the longest field name in bytes.
const MaxName = 255

// ValidName reports whether name matches [a-z][a-z0-9_]* and is at most [MaxName] bytes long.
func ValidName[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > MaxName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := 1; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// NormalizeName trims ASCII white space, lower-cases ASCII letters and requires [ValidName]. A tier that seals calls
// it on each name. Error: [ErrName].
func NormalizeName(name string) (string, error) {
	name = strings.Trim(name, " \t\r\n\v\f")
	if len(name) > MaxName {
		return "", ErrName
	}
	var buf [MaxName]byte
	low, err := AppendLower(buf[:0], name)
	if err != nil || !ValidName(low) {
		return "", ErrName
	}
	return string(low), nil
}

// AppendLower appends name with its ASCII letters in lower case, and trims nothing. It is for a name that comes with
// a sealed field. A name that is empty, longer than [MaxName] or not printable ASCII is [ErrName], and dst is then
// unchanged. It does not require [ValidName], since other writers may name their fields otherwise.
func AppendLower[T string | []byte](dst []byte, name T) ([]byte, error) {
	if len(name) == 0 || len(name) > MaxName {
		return dst, ErrName
	}
	out := dst
	for i := range len(name) {
		c := name[i]
		switch {
		case c < ' ' || c > '~':
			return dst, ErrName
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return out, nil
}
