package front

import (
	"bytes"
	"slices"

	"github.com/valyala/fastjson"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// gather collects fields and expressions, sorted by name, and checks their shapes.
func (r *request) gather(k *keys, d dialect) *fault {
	var ok bool
	if r.fields, ok = collect(r.fields, k[kFields]); !ok {
		return faultFieldsShape
	}
	if k[kExpressions] != nil {
		if r.exprs, ok = collect(r.exprs, k[kExpressions]); !ok {
			return faultExprShape
		}
	}
	if r.fields, ok = distinct(r.fields, d); !ok {
		return faultFieldTwice
	}
	if r.exprs, ok = distinct(r.exprs, d); !ok {
		return faultExprTwice
	}
	if len(r.fields) > wire.MaxFields {
		return faultFieldCount
	}
	if len(r.exprs) > wire.MaxExpressions {
		return faultExprCount
	}
	return nil
}

// collect appends the members of an object of strings to dst, sorted by name. Equal names keep their order.
func collect(dst []entry, v *fastjson.Value) ([]entry, bool) {
	obj, err := v.Object()
	if err != nil {
		return dst, false
	}
	ok := true
	obj.Visit(func(name []byte, v *fastjson.Value) {
		if v.Type() != fastjson.TypeString {
			ok = false
			return
		}
		dst = append(dst, entry{name, str(v)})
	})
	slices.SortStableFunc(dst, byName)
	return dst, ok
}

func byName(a, b entry) int { return bytes.Compare(a.name, b.name) }

// distinct keeps only the last of equal names in the reference's dialect, and refuses them otherwise.
func distinct(s []entry, d dialect) ([]entry, bool) {
	out := s[:0]
	for i := range s {
		if i+1 < len(s) && bytes.Equal(s[i].name, s[i+1].name) {
			if d == v1 {
				return s, false
			}
			continue
		}
		out = append(out, s[i])
	}
	return out, true
}

// members fills in the message's fields and expressions, and reads include.
func (r *request) members(k *keys, d dialect) *fault {
	for i := range r.fields {
		if f := r.field(&r.fields[i], d); f != nil {
			return f
		}
	}
	for _, e := range r.exprs {
		if len(e.name) == 0 || len(e.name) > wire.MaxName {
			return faultExprName
		}
		if len(e.value) > wire.MaxExpression {
			return faultExprSource
		}
		r.msg.AddExpression(e.name, e.value)
	}
	if v := k[kInclude]; v != nil {
		return r.include(v)
	}
	return nil
}

// field adds a field under its name as written. The enclave lower-cases the name for the sealed field, and shows it
// to expressions as it is.
func (r *request) field(e *entry, d dialect) *fault {
	var low [sealed.MaxName]byte
	if d == v1 && !sealed.ValidName(e.name) {
		return faultFieldName
	} else if _, err := sealed.AppendLower(low[:0], e.name); err != nil {
		return faultFieldNameOld
	}
	if r.msg.Encoding == uint8(sealed.EncodingHex) {
		r.msg.AddField(e.name, r.hex(e.value))
		return nil
	}
	blob, err := r.base64(e.value)
	if err != nil {
		return faultFieldValue
	}
	if r.msg.Encoding == uint8(sealed.EncodingRef) {
		return r.refField(e.name, blob)
	}
	r.msg.AddField(e.name, blob)
	return nil
}

// hex decodes a field of encoding 1 to enc || ct. A record that the reference has changed since holds fields of
// encoding 2 too, in base64, which are enc || ct already. A value in neither form becomes empty. The enclave cannot
// open it, so that field fails alone, like one that is too short in another encoding.
func (r *request) hex(value []byte) []byte {
	if bytes.IndexByte(value, '#') < 0 {
		blob, _ := r.base64(value)
		return blob
	}
	at := len(r.scratch)
	r.scratch, _ = sealed.AppendHex(r.scratch, sealed.Suite(r.msg.Suite), value)
	return r.scratch[at:len(r.scratch):len(r.scratch)]
}

// include marks the raw fields that the caller wants.
func (r *request) include(v *fastjson.Value) *fault {
	names, err := v.Array()
	if err != nil {
		return faultIncludeShape
	}
	r.msg.IncludeMode = wire.IncludeListed
	for _, n := range names {
		if n.Type() != fastjson.TypeString {
			return faultIncludeShape
		}
		i, ok := slices.BinarySearchFunc(r.fields, entry{name: str(n)}, byName)
		if !ok {
			return faultInclude
		}
		r.msg.Fields[i].Include = true
	}
	return nil
}
