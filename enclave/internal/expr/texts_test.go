package expr

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// TestTextsThatConversionsTake: each conversion from a text takes its grammar and nothing else. The reference's own
// answers to these texts, by cel-interpreter 0.10.0, are the same but for the rows of testdata/differences.json.
func TestTextsThatConversionsTake(t *testing.T) {
	e := newTest(t, Config{})
	for _, c := range []struct{ function, text, want string }{
		{"timestamp", "2023-05-28t01:02:03z", `"2023-05-28T01:02:03+00:00"`},
		{"timestamp", "2023-05-28 01:02:03Z", `"2023-05-28T01:02:03+00:00"`},
		{"timestamp", "2016-12-31T23:59:60Z", `"2017-01-01T00:00:00+00:00"`},
		{"timestamp", "2016-12-31T12:30:60.25Z", `"2016-12-31T12:31:00.250+00:00"`},
		{"timestamp", "2017-01-01T00:59:60+01:00", `"2017-01-01T01:00:00+01:00"`},
		{"timestamp", "2023-05-28T00:00:00+23:59", `"2023-05-28T00:00:00+23:59"`},
		{"timestamp", "2023-05-28T00:00:00-23:59", `"2023-05-28T00:00:00-23:59"`},
		{"timestamp", "2023-05-28T00:00:00-00:00", `"2023-05-28T00:00:00+00:00"`},
		{"timestamp", "2023-05-28T00:00:00.1234567899Z", `"2023-05-28T00:00:00.123456789+00:00"`},
		{"timestamp", "2024-02-29T23:59:59.000000001Z", `"2024-02-29T23:59:59.000000001+00:00"`},
		{"timestamp", "9999-12-31T23:59:59Z", `"9999-12-31T23:59:59+00:00"`},
		{"double", "+1.5", "1.5"},
		{"double", "-.5", "-0.5"},
		{"double", "5.", "5.0"},
		{"double", "1.e3", "1000.0"},
		{"double", "1E+3", "1000.0"},
		{"double", "007", "7.0"},
		{"double", "1e-400", "0.0"},
		{"double", "Infinity", "error: not_json"},
		{"double", "-inf", "error: not_json"},
		{"double", "+NaN", "error: not_json"},
		{"int", "+42", "42"},
		{"int", "-042", "-42"},
		{"int", "-9223372036854775808", "-9223372036854775808"},
		{"uint", "+42", "42"},
		{"uint", "18446744073709551615", "18446744073709551615"},
		{"duration", "-1h30m.5s", "-5400500000000"},
		{"duration", "+1.5ms", "1500000"},
		{"duration", "1m1h", "3660000000000"},
		{"duration", "0", "0"},
		{"duration", "0.0000000001s", "0"},
		{"date", "+2025- 1-1", `"2025-01-01T00:00:00+00:00"`},
	} {
		if got := eval1(t, e, fieldsOf("x", c.text), c.function+"(x)"); got != c.want {
			t.Errorf("%s(%q) = %s, want %s", c.function, c.text, got, c.want)
		}
	}
}

func TestTextsThatConversionsRefuse(t *testing.T) {
	e := newTest(t, Config{})
	for function, texts := range map[string][]string{
		"timestamp": {
			"", "2023-05-28", "2023-05-28T00:00:00", "2023-05-28T00:00Z", "2023-05-28T0:00:00Z", "2023-5-28T00:00:00Z",
			"2023-05-28T00:00:00+24:01", "2023-05-28T00:00:00+24:00", "2023-05-28T00:00:00+05:60",
			"2023-05-28T00:00:00+0530", "2023-05-28T00:00:00+05", "2023-05-28T00:00:00+5:30", "2023-05-28T00:00:00+05:3",
			"2023-05-28T00:00:00+05:30:00", "2023-05-28T00:00:00\u221205:30", "2023-05-28T00:00:00 Z",
			"2023-05-28T00:00:00,5Z", "2023-05-28T00:00:00.Z", "2023-05-28T00:00:00.5", "2023-05-28T00:00:00.5_0Z",
			"2023-05-28T24:00:00Z", "2023-05-28T23:60:00Z", "2023-05-28T23:59:61Z", "2023-05-28\t00:00:00Z",
			"2023-02-29T00:00:00Z", "2023-00-01T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-00T00:00:00Z",
			"2023-04-31T00:00:00Z", "+2023-05-28T00:00:00Z", "12023-05-28T00:00:00Z", "0000-05-28T00:00:00Z",
			"9999-12-31T23:59:60Z", " 2023-05-28T00:00:00Z", "2023-05-28T00:00:00Z ", "２０23-05-28T00:00:00Z",
			"2023-05-28T00:00:00Z\x00", "2023-05-28T00:00:-1Z",
		},
		"double": {
			"", "1_000.5", "1e1_0", "_1", "0X1P-2", "0x1p-2", "0x10", "0b1", "1e", "e3", ".e3", ".", "+", "-", "--1", "+-1",
			" 1", "1 ", "1,5", "1f", "1d", "\u0661", "１", "infin", "nan0", "1.2.3", "1e400", "-1e400", "1\x00",
		},
		"int": {
			"", "1_000", "0x2a", "0b1", "0o7", " 42", "42 ", "+", "-", "+-1", "4.0", "4e1", "42u", "\u0661\u0662",
			"9223372036854775808", "inf", "nan",
		},
		"uint": {"", "-1", "-0", "++1", "+-1", "1_000", "0x2a", " 42", "42u", "18446744073709551616", "1.0", "１"},
		"duration": {
			"", "1", "1d", "1 h", " 1h", "1h ", "1h xyz", "1hour", "1_000s", "0x1s", "1e3s", "1h-30m", "--1h", "1,5s",
			".s", "-", "infs", "nans", "\u0661s", "2562048h", "9223372036854775808ns",
		},
		"date": {
			"", "2025-01-01 ", "2025 -01-01", "2025-01-001", "2_025-01-01", "0x7e9-01-01", "2025-+1-01", "2025-01--1",
			"２０２５-01-01", "2025\u221201-01", "2025-01-01T00:00:00Z", "+ 2025-01-01",
		},
	} {
		for _, text := range texts {
			if got := eval1(t, e, fieldsOf("x", text), function+"(x)"); got != "error: input" {
				t.Errorf("%s(%q) = %s", function, text, got)
			}
		}
	}
}

// The grammars once more, independently of the code.
var (
	timeText = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?` +
		`([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	decimalText  = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)
	specialText  = regexp.MustCompile(`(?i)^[+-]?(inf|infinity|nan)$`)
	intText      = regexp.MustCompile(`^[+-]?\d+$`)
	uintText     = regexp.MustCompile(`^\+?\d+$`)
	durationText = regexp.MustCompile(`^[+-]?(0|((\d+\.?\d*|\.\d+)(h|m|s|ms|us|µs|μs|ns))+)$`)
)

// FuzzTexts holds the conversions against these grammars, and their values against other ways to read them.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{
		"2023-05-28T23:59:60.5Z", "2023-05-28 00:00:00+05:60", "2023-05-28T00:00:00,5Z", "0001-01-01T00:00:00+01:00",
		"1_000.5", "0X1P-2", "-1.5e-3", "+inf", "9223372036854775808", "+42", "1h30m.5s", "1.5µs", "--1h", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkTime(t, s)
		checkNumber(t, "int", s, parseInt(s), intText.MatchString(s), math.MinInt64, math.MaxInt64)
		checkNumber(t, "uint", s, parseUint(s), uintText.MatchString(s), 0, math.MaxUint64)
		checkDouble(t, s)
		if !types.IsError(duration(s)) && !durationText.MatchString(s) {
			t.Errorf("duration(%q) is taken", s)
		}
	})
}

func checkTime(t *testing.T, s string) {
	t.Helper()
	got, taken := timestamp(s).(types.Timestamp)
	want, ok := timeOf(s)
	_, offset := got.Zone()
	_, wantOffset := want.Zone()
	if taken != ok || taken && (!got.Time.Equal(want) || offset != wantOffset) {
		t.Errorf("timestamp(%q) = %v, %v, want %v, %v", s, got, taken, want, ok)
	}
}

// timeOf is what timestamp should give, if anything: what the standard library reads in the plain form.
func timeOf(s string) (time.Time, bool) {
	m := timeText.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	second, leap := m[4], time.Duration(0)
	if second == "60" {
		second, leap = "59", time.Second
	}
	at, err := time.Parse(time.RFC3339Nano,
		fmt.Sprintf("%sT%s:%s:%s%s%s", m[1], m[2], m[3], second, m[5], strings.ToUpper(m[6])))
	at = at.Add(leap)
	inside := min(at.Year(), at.UTC().Year()) >= 1 && max(at.Year(), at.UTC().Year()) <= 9999
	return at, err == nil && inside
}

func checkNumber(t *testing.T, function, s string, got ref.Val, formed bool, low int64, high uint64) {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	fits := formed && ok && n.Cmp(big.NewInt(low)) >= 0 && n.Cmp(new(big.Int).SetUint64(high)) <= 0
	if types.IsError(got) == fits {
		t.Errorf("%s(%q) = %v", function, s, got)
	} else if fits && fmt.Sprint(got.Value()) != n.String() {
		t.Errorf("%s(%q) = %v, want %v", function, s, got, n)
	}
}

func checkDouble(t *testing.T, s string) {
	t.Helper()
	got := parseDouble(s)
	switch {
	case specialText.MatchString(s):
		if f, ok := got.Value().(float64); !ok || !math.IsNaN(f) && !math.IsInf(f, 0) {
			t.Errorf("double(%q) = %v", s, got)
		}
	case !decimalText.MatchString(s):
		if !types.IsError(got) {
			t.Errorf("double(%q) = %v", s, got)
		}
	default:
		want, err := strconv.ParseFloat(s, 64)
		if types.IsError(got) != (err != nil) || err == nil && got.Value() != want {
			t.Errorf("double(%q) = %v, want %v", s, got, want)
		}
	}
}
