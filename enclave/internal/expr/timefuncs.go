package expr

import (
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// timeFunctions are the reference's functions of time and the getters. A timestamp keeps the offset from UTC with
// which it was written, and the getters give the time at that offset. Timestamps have years 1 to 9999.
func (l library) timeFunctions() []signature {
	sigs := []signature{
		onString("date", date),
		{name: "today_utc", forms: call, none: func() ref.Val { return today(l.now()) }},
		onAny("age", both, func(v ref.Val) ref.Val {
			t, ok := v.(types.Timestamp)
			if !ok {
				return failed(KindType)
			}
			return age(t.Time, l.now())
		}),
	}
	for _, g := range []struct {
		name string
		get  func(t time.Time) int
	}{
		{"getFullYear", time.Time.Year},
		{"getMonth", func(t time.Time) int { return int(t.Month()) - 1 }},
		{"getDayOfYear", func(t time.Time) int { return t.YearDay() - 1 }},
		{"getDayOfMonth", func(t time.Time) int { return t.Day() - 1 }},
		{"getDate", time.Time.Day},
		{"getDayOfWeek", func(t time.Time) int { return int(t.Weekday()) }},
		{"getHours", time.Time.Hour},
		{"getMinutes", time.Time.Minute},
		{"getSeconds", time.Time.Second},
		{"getMilliseconds", func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) }},
	} {
		sigs = append(sigs, onAny(g.name, both, func(v ref.Val) ref.Val {
			t, ok := v.(types.Timestamp)
			if !ok {
				return failed(KindType)
			}
			return types.Int(g.get(t.Time))
		}))
	}
	return sigs
}

func today(now time.Time) ref.Val {
	y, m, d := now.UTC().Date()
	return types.Timestamp{Time: time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

// age is the number of whole years from t to now, on the calendar at t's offset. A year is complete when month, day
// and time of day are not before t's. So 29 February has its birthday on 1 March in a common year. For a t in the
// future the age is 0.
func age(t, now time.Time) ref.Val {
	now = now.In(t.Location())
	years := now.Year() - t.Year()
	if beforeInYear(now, t) {
		years--
	}
	if years < 0 {
		return types.IntZero
	}
	return types.Uint(years)
}

// beforeInYear compares month, day and time of day.
func beforeInYear(a, b time.Time) bool {
	if a.Month() != b.Month() {
		return a.Month() < b.Month()
	}
	if a.Day() != b.Day() {
		return a.Day() < b.Day()
	}
	return sinceMidnight(a) < sinceMidnight(b)
}

func sinceMidnight(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// date parses year-month-day as chrono's strptime does with %Y-%m-%d: numbers may have fewer digits than usual and
// spaces before them, and the year may have a sign (and then any number of digits). Nothing may follow.
func date(s string) ref.Val {
	year, s, ok := number(s, 4, true)
	if !ok || !strings.HasPrefix(s, "-") {
		return failed(KindInput)
	}
	month, s, ok := number(s[1:], 2, false)
	if !ok || !strings.HasPrefix(s, "-") {
		return failed(KindInput)
	}
	day, s, ok := number(s[1:], 2, false)
	if !ok || s != "" || year < 1 || year > 9999 {
		return failed(KindInput)
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Year() != year || int(t.Month()) != month || t.Day() != day {
		return failed(KindInput)
	}
	return types.Timestamp{Time: t}
}

// number reads up to width digits after white space. A sign, where allowed, lifts the width. A number that is too
// large for a year is returned as some number that is too large.
func number(s string, width int, signed bool) (n int, rest string, ok bool) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	negative := false
	if signed && s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s, width = s[1:], len(s)
	}
	i := 0
	for ; i < len(s) && i < width && '0' <= s[i] && s[i] <= '9'; i++ {
		n = min(n*10+int(s[i]-'0'), 1_000_000)
	}
	if negative {
		n = -n
	}
	return n, s[i:], i > 0
}
