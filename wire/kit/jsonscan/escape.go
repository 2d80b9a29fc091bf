package jsonscan

import "encoding/binary"

// escape returns the length of the escape sequence with which b begins, and 0 if it begins with none. A surrogate
// pair counts as one sequence.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	u, ok := unit(b)
	switch {
	case !ok || u >= 0xDC00 && u < 0xE000:
		return 0
	case u < 0xD800 || u >= 0xE000:
		return 6
	}
	if low, ok := unit(b[6:]); ok && low >= 0xDC00 && low < 0xE000 {
		return 12
	}
	return 0
}

// unit reads a \uXXXX escape.
func unit(b []byte) (u uint32, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		u <<= 4
		switch {
		case c >= '0' && c <= '9':
			u |= uint32(c - '0')
		case c >= 'a' && c <= 'f':
			u |= uint32(c-'a') + 10
		case c >= 'A' && c <= 'F':
			u |= uint32(c-'A') + 10
		default:
			return 0, false
		}
	}
	return u, true
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain reports whether b has neither a control character nor a backslash, eight bytes at a time.
func plain(b []byte) bool {
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		slash := w ^ lows*'\\'
		if ((w-lows*0x20)&^w|(slash-lows)&^slash)&highs != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < 0x20 || c == '\\' {
			return false
		}
	}
	return true
}
