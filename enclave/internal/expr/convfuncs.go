package expr

import (
	"math"
	"strconv"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// conversions are string, bytes, double, int, uint, duration and timestamp, each as f(x) and x.f().
func (l library) conversions() []signature {
	return []signature{
		onAny("string", both, toString),
		onString("bytes", func(s string) ref.Val { return types.Bytes(bytesOf(s)) }),
		onAny("double", both, convert(types.DoubleType, parseDouble)),
		onAny("int", both, convert(types.IntType, parseInt)),
		onAny("uint", both, convert(types.UintType, parseUint)),
		onString("duration", duration),
		onString("timestamp", timestamp),
	}
}

// convert converts numbers to a number as CEL does, and strings by parse. A value that does not fit is an error.
func convert(to ref.Type, parse func(s string) ref.Val) func(v ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		switch x := v.(type) {
		case types.String:
			return parse(string(x))
		case types.Int, types.Uint, types.Double:
		default:
			return failed(KindType)
		}
		if out := v.ConvertToType(to); !types.IsError(out) {
			return out
		}
		return failed(KindInput)
	}
}

// toString renders values as the reference does: timestamps with a numeric offset, durations in hours, minutes and
// seconds, doubles without an exponent. Bytes must be UTF-8.
func toString(v ref.Val) ref.Val {
	switch x := v.(type) {
	case types.String:
		return x
	case types.Bytes:
		if !utf8.Valid(x) {
			return failed(KindInput)
		}
		return types.String(stringOf(x))
	case types.Int:
		return types.String(strconv.FormatInt(int64(x), 10))
	case types.Uint:
		return types.String(strconv.FormatUint(uint64(x), 10))
	case types.Double:
		return types.String(decimal(float64(x)))
	case types.Bool:
		return types.String(strconv.FormatBool(bool(x)))
	case types.Timestamp:
		return types.String(stringOf(appendTime(nil, x.Time)))
	case types.Duration:
		return types.String(x.String())
	default:
		return failed(KindType)
	}
}

func decimal(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	default:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
}
