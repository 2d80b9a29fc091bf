package expr

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// operators are the operators for which cel-go's are not used, and size, contains, max and min.
func (l library) operators() []signature {
	return []signature{
		walking(opEqual, call, 2, func(st *state, x, y ref.Val) ref.Val { return types.Bool(st.same(x, y)) }),
		walking(opNotEqual, call, 2, func(st *state, x, y ref.Val) ref.Val { return types.Bool(!st.same(x, y)) }),
		walking(opIn, call, 2, func(st *state, x, y ref.Val) ref.Val { return st.contains(y, x) }),
		onTwo(opIndex, call, index),
		walking(opMax, call, 1, func(st *state, v, _ ref.Val) ref.Val { return st.extreme(v, types.IntOne) }),
		walking(opMin, call, 1, func(st *state, v, _ ref.Val) ref.Val { return st.extreme(v, types.IntNegOne) }),
		onTwo(opCharged, call, func(v, _ ref.Val) ref.Val { return v }),
		onAny(opKey, call, func(v ref.Val) ref.Val { return v }),
		walking(opRange, call, 1, func(st *state, v, _ ref.Val) ref.Val { return st.rangeOf(v) }),
		walking("contains", both, 2, (*state).contains),
		onTwo("startsWith", both, affix(strings.HasPrefix)),
		onTwo("endsWith", both, affix(strings.HasSuffix)),
		onAny("size", both, size),
	}
}

// contains reports whether a list has an element, a map a key, a string a substring, a byte string a subsequence.
func (st *state) contains(in, what ref.Val) ref.Val {
	switch c := in.(type) {
	case types.String:
		s, ok := what.(types.String)
		if !ok {
			return failed(KindType)
		}
		return types.Bool(strings.Contains(string(c), string(s)))
	case types.Bytes:
		b, ok := what.(types.Bytes)
		if !ok {
			return failed(KindType)
		}
		return types.Bool(strings.Contains(stringOf(c), stringOf(b)))
	case traits.Mapper:
		if !isKey(what) {
			return types.False
		}
		_, found := c.Find(what)
		return types.Bool(found)
	case traits.Lister:
		for it := c.Iterator(); it.HasNext() == types.True; {
			if st.same(it.Next(), what) {
				return types.True
			}
		}
		return types.False
	default:
		return failed(KindType)
	}
}

// rangeOf returns what a loop goes through: a list, or the keys of a map in the order of their texts, since the order
// of Go's maps changes each time. It refuses anything else.
func (st *state) rangeOf(v ref.Val) ref.Val {
	switch x := v.(type) {
	case traits.Lister:
		return v
	case traits.Mapper:
		return st.sortedKeys(x)
	default:
		return failed(KindType)
	}
}

// sortedKeys pays for the sorting as the encoder of objects does.
func (st *state) sortedKeys(m traits.Mapper) ref.Val {
	type entry struct {
		text string
		key  ref.Val
	}
	n, _ := m.Size().(types.Int)
	levels := bits.Len64(uint64(n))
	st.charge(uint64(int(n) * (1 + levels)))
	entries := make([]entry, 0, int(n))
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		text, _ := toString(key).(types.String)
		st.charge(uint64(len(text) * (1 + levels) / bytesPerUnit))
		entries = append(entries, entry{string(text), key})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		// 1 and "1" are two keys with one text.
		return cmp.Or(strings.Compare(a.text, b.text), strings.Compare(a.key.Type().TypeName(), b.key.Type().TypeName()))
	})
	keys := make([]ref.Val, len(entries))
	for i, e := range entries {
		keys[i] = e.key
	}
	return types.NewRefValList(types.DefaultTypeAdapter, keys)
}

// isKey reports whether v may be the key of a map.
func isKey(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Int, types.Uint, types.Double, types.Bool:
		return true
	default:
		return false
	}
}

// index is x[i]: an element of a list, a value of a map, or a byte of a string as a string. It is null if there is no
// such element, and if a byte of a string is not a whole character.
func index(x, i ref.Val) ref.Val {
	if m, ok := x.(traits.Mapper); ok {
		if !isKey(i) {
			return failed(KindType)
		}
		if v, found := m.Find(i); found {
			return v
		}
		return types.NullValue
	}
	at, ok := position(i)
	if !ok {
		return failed(KindType)
	}
	switch c := x.(type) {
	case types.String:
		if at < 0 || at >= int64(len(c)) || c[at] >= 0x80 {
			return types.NullValue
		}
		return c[at : at+1]
	case traits.Lister:
		if n, isInt := c.Size().(types.Int); !isInt || at < 0 || at >= int64(n) {
			return types.NullValue
		}
		return c.Get(types.Int(at))
	default:
		return failed(KindType)
	}
}

// position converts an index. An index that does not fit is out of range everywhere.
func position(i ref.Val) (int64, bool) {
	switch n := i.(type) {
	case types.Int:
		return int64(n), true
	case types.Uint:
		if n > 1<<62 {
			return -1, true
		}
		return int64(n), true
	default:
		return 0, false
	}
}

func affix(has func(s, affix string) bool) func(x, y ref.Val) ref.Val {
	return func(x, y ref.Val) ref.Val {
		s, ok := x.(types.String)
		a, ok2 := y.(types.String)
		if !ok || !ok2 {
			return failed(KindType)
		}
		return types.Bool(has(string(s), string(a)))
	}
}

// size is the length of a string or byte string in bytes, as in the reference, or the number of elements.
func size(v ref.Val) ref.Val {
	switch c := v.(type) {
	case types.String:
		return types.Int(len(c))
	case types.Bytes:
		return types.Int(len(c))
	case traits.Sizer:
		return c.Size()
	default:
		return failed(KindType)
	}
}

// extreme returns the last of the largest elements of a list (sign 1) or of the smallest (sign -1), and null for an
// empty list. A value that is not a list is returned as it is.
func (st *state) extreme(v ref.Val, sign types.Int) ref.Val {
	list, ok := v.(traits.Lister)
	if !ok {
		return v
	}
	best := ref.Val(types.NullValue)
	for it, first := list.Iterator(), true; it.HasNext() == types.True; first = false {
		next := it.Next()
		st.charge(1 + textCost(next, bytesPerUnit))
		if first {
			best = next
			continue
		}
		c, ok := best.(traits.Comparer)
		if !ok {
			return failed(KindType)
		}
		order := c.Compare(next)
		if types.IsUnknownOrError(order) {
			return failed(KindType)
		}
		if order != sign {
			best = next
		}
	}
	return best
}
