package front

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/valyala/fastjson"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
	"redoubt/wire/kit/sealed"
)

// dialect is the form of requests that a route accepts.
type dialect uint8

const (
	// reference is POST /decrypt. Unknown keys are ignored, null stands for an absent option, the last of two equal
	// names wins, names may be any ASCII, and the answer holds everything.
	reference dialect = iota
	// v1 is /v1: nothing unknown, nothing twice.
	v1
)

// maxValues bounds the values of one request, those under ignored keys included, since the parser keeps 80 bytes for
// each.
const maxValues = 4096

// keep bounds the memory that a pooled request keeps. A request that has grown beyond it is left to the collector.
const keep = 64 << 10

// request is one decoded decrypt request. Its slices borrow from its own buffers and from the parser's copy of the
// body, until the next decode.
type request struct {
	parser  fastjson.Parser
	scratch []byte // decoded base64; sized beforehand, so it never moves under its slices
	msg     wire.DecryptRequest
	fields  []entry // sorted by name as written; the order of msg.Fields
	exprs   []entry // sorted by name; the order of msg.Expressions
	encs    []enc
	records []pool.Record
	to      []byte // the domain to which a reseal moves; empty for any other request
	size    int    // of the body, for the decision to keep
}

// entry is a member of fields or expressions as the caller wrote it.
type entry struct {
	name, value []byte
}

// sealedReply reports whether the answer is sealed to the caller.
func (r *request) sealedReply() bool { return len(r.msg.ReplyKey) > 0 }

// wanted reports whether field i's raw value belongs in the answer.
func (r *request) wanted(i int) bool {
	switch {
	case r.msg.Compat:
		return true
	case r.msg.IncludeMode == wire.IncludeListed:
		return r.msg.Fields[i].Include
	}
	return len(r.exprs) == 0
}

// keepable reports whether r is small enough to be kept in a pool.
func (r *request) keepable() bool { return r.size <= keep && cap(r.scratch) <= 2*keep }

// decode reads body, which it does not keep. It checks everything that can be checked without a key.
func (r *request) decode(body []byte, d dialect) *fault {
	if err := jsonscan.Check(body, maxValues); err != nil {
		return notJSON(err)
	}
	return r.decodeChecked(body, d)
}

// decodeChecked is decode for a body of which jsonscan has been through already, within the same bounds.
func (r *request) decodeChecked(body []byte, d dialect) *fault {
	obj, f := r.root(body)
	if f != nil {
		return f
	}
	return r.decodeObject(obj, d)
}

// root parses body, which it does not keep, and empties r.
func (r *request) root(body []byte) (*fastjson.Object, *fault) {
	r.size = len(body)
	r.scratch = grow(r.scratch[:0], len(body))
	r.msg.Reset()
	r.fields, r.exprs, r.encs, r.records, r.to = r.fields[:0], r.exprs[:0], r.encs[:0], r.records[:0], nil
	root, err := r.parser.ParseBytes(body)
	if err != nil {
		return nil, faultSyntax
	}
	obj, err := root.Object()
	if err != nil {
		return nil, faultObject
	}
	return obj, nil
}

// decodeObject reads a decrypt request.
func (r *request) decodeObject(obj *fastjson.Object, d dialect) *fault {
	var keys keys
	if f := keys.collect(obj, d); f != nil {
		return f
	}
	if len(r.to) > 0 && keys.wantsResults() {
		return faultResealMember
	}
	if f := r.scalars(&keys, d); f != nil {
		return f
	}
	if f := r.members(&keys, d); f != nil {
		return f
	}
	if r.msg.Validate() != nil {
		return faultSize
	}
	return nil
}

// scalars reads all keys except fields, expressions and include. It checks shapes before values, as the reference's
// deserializer comes before its validator.
func (r *request) scalars(k *keys, d dialect) *fault {
	for _, c := range [...]struct {
		v *fastjson.Value
		f *fault
	}{
		{k[kVaultID], shapeVaultID},
		{k[kRegion], shapeRegion},
		{k[kSuiteID], shapeSuiteID},
		{k[kWrappedKey], shapeWrappedKey},
		{k[kEncoding], shapeEncoding},
		{k[kDomain], shapeDomain},
	} {
		if c.v != nil && c.v.Type() != fastjson.TypeString {
			return c.f
		}
	}
	if f := r.gather(k, d); f != nil {
		return f
	}
	m := &r.msg
	m.VaultID, m.Region = str(k[kVaultID]), str(k[kRegion])
	if len(m.VaultID) == 0 || len(m.VaultID) > wire.MaxVaultID {
		return faultVaultID
	}
	under := k[kDomain] != nil
	if under && len(m.Region) > 0 {
		return faultDomainRegion
	} else if !under && !validRegion(m.Region) {
		return faultRegion
	}
	suite, err := r.suite(str(k[kSuiteID]))
	if err != nil || !under && !suite.OnCurve() {
		return faultSuiteID
	}
	m.Suite = uint8(suite)
	if m.WrappedKey, err = r.base64(str(k[kWrappedKey])); err != nil || len(m.WrappedKey) == 0 ||
		len(m.WrappedKey) > wire.MaxWrappedKey {
		return faultWrappedKey
	}
	m.Encoding = uint8(sealed.EncodingField)
	if v := k[kEncoding]; v != nil {
		s := str(v)
		if len(s) != 1 || s[0] < '1' || s[0] > '4' {
			return faultEncoding
		}
		m.Encoding = s[0] - '0'
	}
	if under != (m.Encoding == uint8(sealed.EncodingRef)) {
		return faultEncoding
	}
	m.Compat = d == reference
	if f := r.options(k); f != nil {
		return f
	}
	return r.domain(k)
}

// options reads key_context, compat, report_access and reply_key.
func (r *request) options(k *keys) *fault {
	if v := k[kKeyContext]; v != nil {
		n, err := v.Int()
		if v.Type() != fastjson.TypeNumber {
			return shapeKeyContext
		}
		if err != nil || n < 0 || n > 1 {
			return faultKeyContext
		}
		r.msg.KeyContext = n == 1
	}
	if v := k[kCompat]; v != nil {
		on, err := v.Bool()
		if err != nil {
			return shapeCompat
		}
		r.msg.Compat = on
	}
	if v := k[kReportAccess]; v != nil {
		on, err := v.Bool()
		if err != nil {
			return shapeReport
		}
		r.msg.ReportAccess = on
	}
	if v := k[kReplyKey]; v != nil {
		return r.replyKey(v)
	}
	return nil
}

func (r *request) replyKey(v *fastjson.Value) *fault {
	obj, err := v.Object()
	if err != nil || obj.Len() != 2 {
		return faultReplyShape
	}
	id, key := obj.Get("suite_id"), obj.Get("public_key")
	if id == nil || key == nil || id.Type() != fastjson.TypeString || key.Type() != fastjson.TypeString {
		return faultReplyShape
	}
	suite, err := r.suite(str(id))
	if err != nil || !suite.OnCurve() {
		return faultReplyKey
	}
	der, err := r.base64(str(key))
	if err != nil || len(der) == 0 || len(der) > wire.MaxReplyKey {
		return faultReplyKey
	}
	r.msg.ReplySuite, r.msg.ReplyKey = uint8(suite), der
	return nil
}

// suite reads a suite id in base64.
func (r *request) suite(s []byte) (sealed.Suite, error) {
	id, err := r.base64(s)
	if err != nil {
		return 0, err
	}
	return sealed.ParseSuite(id)
}

// base64 decodes s into the scratch buffer, which decode has made large enough.
func (r *request) base64(s []byte) ([]byte, error) {
	at := len(r.scratch)
	var err error
	r.scratch, err = appendBase64(r.scratch, s)
	return r.scratch[at:len(r.scratch):len(r.scratch)], err
}

func str(v *fastjson.Value) []byte { return v.GetStringBytes() }

// validRegion reports whether s looks like us-east-1 or us-gov-west-1: two lower-case letters, one or more parts of
// lower-case letters, digits.
func validRegion(s []byte) bool {
	if len(s) > wire.MaxRegion || len(s) < 3 || s[2] != '-' || !all(s[:2], 'a', 'z') {
		return false
	}
	last := bytes.LastIndexByte(s, '-')
	if last <= 2 || !all(s[last+1:], '0', '9') {
		return false
	}
	for part := range bytes.SplitSeq(s[3:last], []byte{'-'}) {
		if !all(part, 'a', 'z') {
			return false
		}
	}
	return true
}

// all reports whether s is not empty and holds only bytes from lo to hi.
func all(s []byte, lo, hi byte) bool {
	for _, c := range s {
		if c < lo || c > hi {
			return false
		}
	}
	return len(s) > 0
}

var errBase64 = errors.New("not standard padded base64")

var strictBase64 = base64.StdEncoding.Strict()

// appendBase64 appends the bytes that src encodes to dst: RFC 4648 section 4, padding required, trailing bits zero,
// no line breaks (which encoding/base64 would skip). dst is unchanged on error.
func appendBase64(dst, src []byte) ([]byte, error) {
	if len(src)%4 != 0 || bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0 {
		return dst, errBase64
	}
	at := len(dst)
	dst = grow(dst, len(src)/4*3)
	n, err := strictBase64.Decode(dst[at:cap(dst)], src)
	if err != nil {
		return dst[:at], errBase64
	}
	return dst[:at+n], nil
}

// grow returns b with room for n more bytes, its length unchanged.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	nb := make([]byte, len(b), 2*cap(b)+n)
	copy(nb, b)
	return nb
}
