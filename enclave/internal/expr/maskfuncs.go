package expr

import (
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Redacted is the result of redact().
const Redacted = "[REDACTED]"

// maskShown is how many characters mask() shows by default.
const maskShown = 4

// maskFunctions show parts of strings. Characters are code points.
func (l library) maskFunctions() []signature {
	return []signature{
		onString("mask", func(s string) ref.Val { return types.String(mask(s, maskShown)) }),
		counted("mask", mask),
		counted("first", first),
		counted("last", last),
		onString("redact", func(string) ref.Val { return types.String(Redacted) }),
	}
}

// counted is a function of a string and a number of characters, which must not be negative.
func counted(name string, f func(s string, n int) string) signature {
	two := func(subject, number ref.Val) ref.Val {
		s, ok := subject.(types.String)
		n, ok2 := number.(types.Int)
		if !ok || !ok2 {
			return failed(KindType)
		}
		if n < 0 {
			return failed(KindInput)
		}
		return types.String(f(string(s), int(min(n, types.Int(len(s))))))
	}
	return signature{name: name, forms: both, two: two}
}

// mask replaces all characters but the last n by asterisks. If n is more than half of the characters it replaces all
// of them, since most of a short value would otherwise show.
func mask(s string, n int) string {
	count := utf8.RuneCountInString(s)
	if 2*n > count {
		n = 0
	}
	return strings.Repeat("*", count-n) + last(s, n)
}

// first returns the first n characters, or all.
func first(s string, n int) string {
	end := 0
	for ; n > 0 && end < len(s); n-- {
		_, width := utf8.DecodeRuneInString(s[end:])
		end += width
	}
	return s[:end]
}

// last returns the last n characters, or all.
func last(s string, n int) string {
	start := len(s)
	for ; n > 0 && start > 0; n-- {
		_, width := utf8.DecodeLastRuneInString(s[:start])
		start -= width
	}
	return s[start:]
}
