package expr

import (
	"time"
	"unsafe"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// library holds what the functions of the language need from outside this package.
type library struct {
	now    func() time.Time
	mac    MAC
	limits Limits
}

// failed makes an error value of a kind. Each call makes a new value, since cel-go writes a node's id into it.
func failed(k Kind) ref.Val { return types.WrapErr(failure(k)) }

// signatures lists every function that is not an operator of cel-go's.
func (l library) signatures() []signature {
	return join(l.operators(), l.textFunctions(), l.maskFunctions(), l.digestFunctions(), l.timeFunctions(),
		l.conversions())
}

// walking is a function of n values (with one, y is nil) that goes through them, and charges as it goes.
func walking(name string, f form, n int, walk func(st *state, x, y ref.Val) ref.Val) signature {
	return signature{name: name, forms: f, args: n, walk: walk}
}

func join(groups ...[]signature) []signature {
	var all []signature
	for _, g := range groups {
		all = append(all, g...)
	}
	for i := range all {
		all[i].price = prices[all[i].name]
	}
	return all
}

// onString is a function of one string.
func onString(name string, f func(s string) ref.Val) signature {
	one := func(v ref.Val) ref.Val {
		s, ok := v.(types.String)
		if !ok {
			return failed(KindType)
		}
		return f(string(s))
	}
	return signature{name: name, forms: both, one: one}
}

// onAny is a function of one value of any type.
func onAny(name string, f form, one func(v ref.Val) ref.Val) signature {
	return signature{name: name, forms: f, one: one}
}

// onTwo is a function of two values of any type.
func onTwo(name string, f form, two func(x, y ref.Val) ref.Val) signature {
	return signature{name: name, forms: f, two: two}
}

// bytesOf views s as bytes, which must not be written. It does not copy, since a copy of a plaintext could not be
// wiped.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf views b, which must not change any more, as a string.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
