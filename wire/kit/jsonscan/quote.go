package jsonscan

import (
	"encoding/binary"
	"unicode/utf8"
)

// MaxEscaped is the most bytes of JSON that one byte of a string can become.
const MaxEscaped = 6

const (
	hexDigits   = "0123456789abcdef"
	replacement = string(utf8.RuneError)
)

// escapes has, for each character that is escaped, the letter behind the backslash; 'u' stands for \u00XX. Like the
// reference's serde_json we escape the quote, the backslash and control characters, and nothing else. (The reference
// is the AWS sample that Redoubt succeeds.)
var escapes = func() (letters [utf8.RuneSelf]byte) {
	for c := range byte(' ') {
		letters[c] = 'u'
	}
	for c, letter := range map[byte]byte{
		'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't',
	} {
		letters[c] = letter
	}
	return letters
}()

// AppendString appends s as a JSON string. A byte that is not UTF-8 becomes U+FFFD.
func AppendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = AppendInner(dst, s)
	return append(dst, '"')
}

// AppendInner appends s as the inside of a JSON string: [AppendString] without the quotes.
func AppendInner(dst, s []byte) []byte {
	from, i := 0, verbatim(s)
	for valid := utf8.Valid(s[i:]); i < len(s); {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf && !valid:
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), replacement...)
				from = i + n
			}
			i += n
			continue
		case c < utf8.RuneSelf && escapes[c] != 0:
			dst = append(append(dst, s[from:i]...), '\\', escapes[c])
			if escapes[c] == 'u' {
				dst = append(dst, '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			from = i + 1
		}
		i++
	}
	return append(dst, s[from:]...)
}

// EscapedLen is how many bytes [AppendInner] appends for s.
func EscapedLen(s []byte) int {
	n, i := len(s), verbatim(s)
	for valid := utf8.Valid(s[i:]); i < len(s); i++ {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf && !valid:
			r, size := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && size == 1 {
				n += len(replacement) - 1
			}
			i += size - 1
		case c >= utf8.RuneSelf || escapes[c] == 0:
		case escapes[c] == 'u':
			n += MaxEscaped - 1
		default:
			n++
		}
	}
	return n
}

// verbatim returns the length of the ASCII prefix of s that has no escapes. It checks eight bytes at a time; for most
// values that is all.
func verbatim(s []byte) int {
	n := 0
	for len(s)-n >= 8 {
		w := binary.LittleEndian.Uint64(s[n:])
		slash, quote := w^lows*'\\', w^lows*'"'
		if ((w-lows*0x20)&^w|(slash-lows)&^slash|(quote-lows)&^quote|w)&highs != 0 {
			break
		}
		n += 8
	}
	return n
}
