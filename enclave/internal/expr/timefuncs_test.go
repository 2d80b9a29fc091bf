package expr

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata" // a zone to have the test in, on any machine

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"pgregory.net/rapid"
)

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestAge: the birthday counts from its own time of day, on the calendar where the subject was born; 29 February has its
// birthday on 1 March in common years; the future is 0 years old, as an int.
func TestAge(t *testing.T) {
	for _, c := range []struct {
		born, now string
		want      ref.Val
	}{
		{"1979-01-01T00:00:00Z", "2025-06-01T12:00:00Z", types.Uint(46)},
		{"1979-06-01T00:00:00Z", "2025-06-01T00:00:00Z", types.Uint(46)},
		{"1979-06-01T00:00:01Z", "2025-06-01T00:00:00Z", types.Uint(45)},
		{"1979-06-02T00:00:00Z", "2025-06-01T23:59:59Z", types.Uint(45)},
		{"2004-02-29T00:00:00Z", "2025-02-28T23:59:59Z", types.Uint(20)},
		{"2004-02-29T00:00:00Z", "2025-03-01T00:00:00Z", types.Uint(21)},
		{"2004-02-29T00:00:00Z", "2024-02-28T23:59:59Z", types.Uint(19)},
		{"2004-02-29T00:00:00Z", "2024-02-29T00:00:00Z", types.Uint(20)},
		{"2000-01-01T00:00:00+09:00", "2024-12-31T14:59:59Z", types.Uint(24)},
		{"2000-01-01T00:00:00+09:00", "2024-12-31T15:00:00Z", types.Uint(25)},
		{"2000-01-01T00:00:00-08:00", "2025-01-01T07:59:59Z", types.Uint(24)},
		{"2025-06-01T12:00:00Z", "2025-06-01T12:00:00Z", types.Uint(0)},
		{"2025-06-01T12:00:01Z", "2025-06-01T12:00:00Z", types.IntZero},
		{"2031-01-01T00:00:00Z", "2025-06-01T12:00:00Z", types.IntZero},
	} {
		if got := age(parse(t, c.born), parse(t, c.now)); got != c.want {
			t.Errorf("born %s, now %s: %T(%v), want %T(%v)", c.born, c.now, got, got, c.want, c.want)
		}
	}
}

// TestAgeGrowsByOneOnTheBirthday, for every date and offset.
func TestAgeGrowsByOneOnTheBirthday(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*60, 14*60).Draw(t, "offset")*60)
		born := time.Date(rapid.IntRange(1900, 2020).Draw(t, "y"), time.Month(rapid.IntRange(1, 12).Draw(t, "m")),
			rapid.IntRange(1, 31).Draw(t, "d"), rapid.IntRange(0, 23).Draw(t, "h"), 0, 0, 0, zone)
		years := rapid.IntRange(1, 100).Draw(t, "years")
		birthday := time.Date(born.Year()+years, born.Month(), born.Day(), born.Hour(), 0, 0, 0, zone)
		if birthday.Day() != born.Day() { // 29 February in a common year: the calendar gives 1 March, and its hour
			birthday = time.Date(birthday.Year(), time.March, 1, 0, 0, 0, 0, zone)
		}
		before, on := age(born, birthday.Add(-1).UTC()), age(born, birthday.UTC())
		if before != types.Uint(years-1) || on != types.Uint(years) {
			t.Fatalf("born %v: %v before, %v on birthday %d", born, before, on, years)
		}
	})
}

// TestDateReadsEveryDate in each way to write it with fewer digits, and refuses dates that do not exist.
func TestDateReadsEveryDate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := rapid.IntRange(1, 9999).Draw(t, "y")
		m := rapid.IntRange(1, 12).Draw(t, "m")
		d := rapid.IntRange(1, 31).Draw(t, "d")
		want := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
		for _, layout := range []string{"%04d-%02d-%02d", "%d-%d-%d", " %d- %d-\t%d", "+%d-%02d-%d"} {
			got := date(fmt.Sprintf(layout, y, m, d))
			at, ok := got.(types.Timestamp)
			if exists := want.Day() == d; ok != exists || ok && !at.Time.Equal(want) {
				t.Fatalf(layout+": %v", y, m, d, got)
			}
		}
	})
}

// TestTimestampKeepsItsOffset even where the machine's own zone has the same offset at that time.
func TestTimestampKeepsItsOffset(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	time.Local = zone
	e := newTest(t, Config{})
	const source = "timestamp('2025-01-01T10:00:00+01:00') + duration('4380h')"
	if got := eval1(t, e, nil, source); got != `"2025-07-02T22:00:00+01:00"` {
		t.Errorf("summer: %s", got)
	}
}
