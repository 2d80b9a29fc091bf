package expr

import (
	"bytes"
	"encoding/base64"
	"math/bits"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"redoubt/wire/kit/jsonscan"
)

// maxJSONDepth bounds the nesting of lists in a result.
const maxJSONDepth = 64

// encoder appends values as JSON, in the form that the reference gives them. It stops at limit. It also stops if its
// state can no longer pay for the time that encoding takes.
type encoder struct {
	out   []byte
	limit int // greatest length of out
	err   Kind
	payer *state // nil: nothing is charged
}

// Prices of encoding: the bytes copied and the bytes looked at for one unit, and what numbers and times cost beside
// the unit of each value.
const (
	copiedPerUnit = 100
	quotedPerUnit = 20
	perNumber     = 4
	perTime       = 3
)

func (e *encoder) charge(units int) {
	if e.payer != nil {
		e.payer.charge(uint64(units))
	}
}

// room makes out able to take n more bytes, and reports whether it may. The outgrown array is wiped.
func (e *encoder) room(n int) bool {
	if e.err != KindNone {
		return false
	}
	if len(e.out)+n > e.limit {
		e.err = KindOutput
		return false
	}
	if cap(e.out)-len(e.out) < n {
		old := e.out
		e.out = append(slices.Grow([]byte(nil), 2*len(old)+n), old...)
		clear(old)
	}
	return true
}

func (e *encoder) raw(s string) {
	e.charge(len(s) / copiedPerUnit)
	if e.room(len(s)) {
		e.out = append(e.out, s...)
	}
}

// value appends v: strings quoted, bytes as standard base64, timestamps in RFC 3339 with a numeric offset, durations
// as integer nanoseconds, keys of maps as strings, sorted.
func (e *encoder) value(v ref.Val, depth int) {
	if depth > maxJSONDepth {
		e.err = KindOutput
		return
	}
	e.charge(1)
	var scratch [40]byte
	switch x := v.(type) {
	case types.Null:
		e.raw("null")
	case types.Bool:
		e.raw(strconv.FormatBool(bool(x)))
	case types.Int:
		e.raw(stringOf(strconv.AppendInt(scratch[:0], int64(x), 10)))
	case types.Uint:
		e.raw(stringOf(strconv.AppendUint(scratch[:0], uint64(x), 10)))
	case types.Double:
		e.charge(perNumber)
		e.double(float64(x))
	case types.String:
		e.string(string(x))
	case types.Bytes:
		n := base64.StdEncoding.EncodedLen(len(x))
		e.charge(n / quotedPerUnit)
		if e.room(n + 2) {
			e.out = append(base64.StdEncoding.AppendEncode(append(e.out, '"'), x), '"')
		}
	case types.Timestamp:
		e.charge(perTime)
		e.raw(`"`)
		e.raw(stringOf(appendTime(scratch[:0], x.Time)))
		e.raw(`"`)
	case types.Duration:
		e.raw(stringOf(strconv.AppendInt(scratch[:0], int64(x.Duration), 10)))
	case traits.Mapper:
		e.object(x, depth)
	case traits.Lister:
		e.array(x, depth)
	default:
		e.err = KindNotJSON
	}
}

func (e *encoder) array(l traits.Lister, depth int) {
	e.raw("[")
	for it, first := l.Iterator(), true; e.err == KindNone && it.HasNext() == types.True; first = false {
		if !first {
			e.raw(",")
		}
		e.value(it.Next(), depth+1)
	}
	e.raw("]")
}

type member struct {
	key   string
	value ref.Val
}

func (e *encoder) object(m traits.Mapper, depth int) {
	var members []member
	n, _ := m.Size().(types.Int)
	levels := bits.Len64(uint64(n)) // steps of the sort
	e.charge(int(n) * (perEntry + levels))
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		v, found := m.Find(k)
		key, isString := toString(k).(types.String)
		e.charge(len(key) * (1 + levels) / copiedPerUnit)
		if !found || !isKey(k) || !isString {
			e.err = KindNotJSON
			return
		}
		members = append(members, member{string(key), v})
	}
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(bytesOf(a.key), bytesOf(b.key)) })
	e.raw("{")
	for i, m := range members {
		if e.err != KindNone {
			return
		}
		if i > 0 {
			if members[i-1].key == m.key {
				e.err = KindNotJSON
				return
			}
			e.raw(",")
		}
		e.string(m.key)
		e.raw(":")
		e.value(m.value, depth+1)
	}
	e.raw("}")
}

// string appends s quoted, with only those escapes that RFC 8259 requires.
func (e *encoder) string(s string) {
	e.charge(len(s) / quotedPerUnit)
	if !utf8.ValidString(s) {
		e.err = KindNotJSON
		return
	}
	if b := bytesOf(s); e.room(jsonscan.EscapedLen(b) + 2) {
		e.out = jsonscan.AppendString(e.out, b)
	}
}

// appendTime appends t in RFC 3339 with a numeric offset, never Z, and with no, three, six or nine digits of a
// second.
func appendTime(out []byte, t time.Time) []byte {
	layout := "2006-01-02T15:04:05"
	switch ns := t.Nanosecond(); {
	case ns == 0:
	case ns%1_000_000 == 0:
		layout += ".000"
	case ns%1_000 == 0:
		layout += ".000000"
	default:
		layout += ".000000000"
	}
	return t.AppendFormat(out, layout+"-07:00")
}
