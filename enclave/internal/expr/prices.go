package expr

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// price is what a call costs beside 1: base, or what a function of the subject says, and one unit for so many bytes
// of its arguments ([bytesPerUnit] if 0). Every function also pays for the text that it returns. TestNoCallIsTooCheap
// measures the prices.
type price struct {
	base  uint64
	of    func(subject ref.Val) uint64
	bytes int
}

// before is the part of a call's price that is charged before the call.
func (p price) before(x, y ref.Val) uint64 {
	per := p.bytes
	if per == 0 {
		per = bytesPerUnit
	}
	units := 1 + p.base + textCost(x, per) + textCost(y, per)
	if p.of != nil {
		units += p.of(x)
	}
	return units
}

// free as a price per bytes means that passing on a text costs nothing.
const free = 1 << 40

// prices of the functions for which the default is too low, or too high.
var prices = map[string]price{
	opEqual:       {bytes: free}, // both pay for what they compare
	opNotEqual:    {bytes: free},
	opRange:       {bytes: free},
	"double":      {of: digitsPrice},
	"hmac_sha256": {base: 10},
}

// failurePrice is the extra price of a call that fails: cel-go makes a value with a text of each error.
const failurePrice = 4

// digitsPrice is the price of reading a number. A number that lies halfway between two doubles takes arithmetic of
// hundreds of digits, 20 µs. With few digits none takes more than 1 µs.
func digitsPrice(v ref.Val) uint64 {
	s, ok := v.(types.String)
	switch {
	case !ok || len(s) < 16:
		return 0
	case len(s) < 24:
		return 10
	default:
		return 150
	}
}
