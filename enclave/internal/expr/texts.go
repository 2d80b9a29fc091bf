package expr

import (
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// timestamp parses RFC 3339 and keeps the offset. Like the reference it also takes what the RFC allows beside the
// usual form: t and z in lower case, a space between date and time, and second 60. The reference takes second 60 in
// every minute, and so does this function. Go's times have no leap seconds: second 60 becomes the first second of the
// next minute, which leaves differences and comparisons as they are in the reference. Digits after the ninth of a
// fraction are dropped.
func timestamp(s string) ref.Val {
	t, ok := parseTime(s)
	if !ok || t.Year() < 1 || t.Year() > 9999 || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return failed(KindInput)
	}
	return types.Timestamp{Time: t}
}

// timeLayout is the form of a timestamp's date and time of day: 0 stands for a digit, T for the separator between
// them.
const timeLayout = "0000-00-00T00:00:00"

func parseTime(s string) (t time.Time, ok bool) {
	if len(s) <= len(timeLayout) || !shaped(s[:len(timeLayout)]) {
		return t, false
	}
	part := func(from, to int) int { n, _ := strconv.Atoi(s[from:to]); return n }
	year, month, day := part(0, 4), part(5, 7), part(8, 10)
	hour, minute, second := part(11, 13), part(14, 16), part(17, 19)
	nanos, rest, ok := fraction(s[len(timeLayout):])
	if !ok || hour > 23 || minute > 59 || second > 60 {
		return t, false
	}
	zone, ok := parseOffset(rest)
	if !ok {
		return t, false
	}
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, zone)
	if midnight.Day() != day || int(midnight.Month()) != month {
		return t, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone), true
}

// shaped reports whether s, which is as long as timeLayout, has its form.
func shaped(s string) bool {
	for i := range len(timeLayout) {
		c, want := s[i], timeLayout[i]
		switch {
		case want == '0' && '0' <= c && c <= '9', want == c, want == 'T' && (c == 't' || c == ' '):
		default:
			return false
		}
	}
	return true
}

// fraction reads a point and digits as nanoseconds, if s begins with a point.
func fraction(s string) (nanos int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	n := digits(s[1:])
	unit := int(time.Second)
	for i := 1; i <= min(n, 9); i++ {
		unit /= 10
		nanos += unit * int(s[i]-'0')
	}
	return nanos, s[1+n:], n > 0
}

// parseOffset reads Z or an offset of at most 23:59. Nothing may follow in s.
func parseOffset(s string) (*time.Location, bool) {
	if s == "Z" || s == "z" {
		return time.UTC, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || digits(s[1:]) != 2 || s[3] != ':' || digits(s[4:]) != 2 {
		return nil, false
	}
	hours, _ := strconv.Atoi(s[1:3])
	minutes, _ := strconv.Atoi(s[4:6])
	if hours > 23 || minutes > 59 {
		return nil, false
	}
	offset := (hours*60 + minutes) * 60
	if s[0] == '-' {
		offset = -offset
	}
	if offset == 0 {
		return time.UTC, true
	}
	return time.FixedZone("", offset), true
}

// digits is the number of decimal ASCII digits at the beginning of s.
func digits(s string) int {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// parseDouble reads a decimal number as the reference does: a sign, digits with a point among, before or behind them,
// and an exponent; or inf, infinity or nan, in any case. It refuses underscores and hexadecimal digits, which Go
// takes. It also refuses a number that is too large for a double.
func parseDouble(s string) ref.Val {
	unsigned := strings.TrimLeft(s, "+-")
	if len(s)-len(unsigned) > 1 {
		return failed(KindInput)
	}
	if strings.EqualFold(unsigned, "nan") {
		return types.Double(math.NaN())
	}
	if !decimalNumber(unsigned) && !strings.EqualFold(unsigned, "inf") && !strings.EqualFold(unsigned, "infinity") {
		return failed(KindInput)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return failed(KindInput)
	}
	return types.Double(f)
}

// decimalNumber reports whether s is a number without a sign, in decimal digits.
func decimalNumber(s string) bool {
	whole := digits(s)
	s = s[whole:]
	part := 0
	if s != "" && s[0] == '.' {
		part = digits(s[1:])
		s = s[1+part:]
	}
	if whole+part == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// parseInt and parseUint read decimal digits after at most one sign. parseUint accepts only a plus.
func parseInt(s string) ref.Val {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return failed(KindInput)
	}
	return types.Int(n)
}

func parseUint(s string) ref.Val {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, 64)
	if err != nil {
		return failed(KindInput)
	}
	return types.Uint(n)
}

// duration reads numbers with units, in any order, after at most one sign, by Go's grammar. Nothing may follow.
func duration(s string) ref.Val {
	d, err := time.ParseDuration(s)
	if err != nil {
		return failed(KindInput)
	}
	return types.Duration{Duration: d}
}
