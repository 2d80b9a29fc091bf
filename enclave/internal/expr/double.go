package expr

import (
	"bytes"
	"math"
	"strconv"
)

// double appends the shortest digits that read back as f, always with a point or an exponent, like Rust's serde_json.
func (e *encoder) double(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.err = KindNotJSON
		return
	}
	var scratch [40]byte
	out := scratch[:0]
	if exp := decimalExponent(f); f == 0 || -5 <= exp && exp < 16 {
		out = strconv.AppendFloat(out, f, 'f', -1, 64)
		if !bytes.ContainsRune(out, '.') {
			out = append(out, ".0"...)
		}
	} else {
		out = strconv.AppendFloat(out, f, 'e', -1, 64)
		out = trimExponent(out)
	}
	e.raw(string(out))
}

// decimalExponent is the exponent of f in scientific notation of its shortest digits.
func decimalExponent(f float64) int {
	var scratch [40]byte
	out := strconv.AppendFloat(scratch[:0], f, 'e', -1, 64)
	exp, err := strconv.Atoi(string(out[bytes.IndexByte(out, 'e')+1:]))
	if err != nil {
		return 0
	}
	return exp
}

// trimExponent turns 1e+21 into 1e21 and 1e-07 into 1e-7.
func trimExponent(b []byte) []byte {
	at := bytes.IndexByte(b, 'e') + 1
	digits := b[at:]
	out := b[:at]
	if digits[0] == '-' {
		out = append(out, '-')
	}
	digits = bytes.TrimLeft(digits[1:], "0")
	return append(out, digits...)
}
