package front

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/valyala/fastjson"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// enc is an encapsulated key of a request: its ref, and whether a field has named it yet.
type enc struct {
	ref   sealed.Ref
	key   []byte
	index int // in msg.Encs; negative before a field named it
}

// domain reads domain, encs and domain_records. Scalars and options come before.
func (r *request) domain(k *keys) *fault {
	v := k[kDomain]
	switch {
	case v == nil && (k[kEncs] != nil || k[kDomainRecords] != nil && len(r.to) == 0):
		return faultNoDomain
	case v == nil:
		return r.domainRecords(k[kDomainRecords])
	case r.msg.KeyContext:
		return faultDomainContext
	}
	var ok bool
	if r.msg.Domain, ok = r.lowerHex(str(v), wire.DomainNameSize); !ok {
		return faultDomain
	}
	if f := r.readEncs(k[kEncs]); f != nil {
		return f
	}
	return r.domainRecords(k[kDomainRecords])
}

// fault is the fault for an error of the upstream, which names the domain that the enclave lacks. An enclave that lacks
// one which the request does not have is broken.
func (r *request) fault(err error, route Route) *fault {
	f := upstreamFault(err, route)
	if f.code != wire.DomainUnknown.String() {
		return f
	}
	name := r.msg.Domain
	var unknown *pool.UnknownDomainError
	if errors.As(err, &unknown) {
		name = unknown.Name[:]
	} else if len(r.to) > 0 {
		name = nil // a reseal's answer says which
	}
	if len(name) == 0 || !r.ofDomain(name) {
		return faultOf(wire.Internal, 0)
	}
	named := *f
	named.domain = hex.EncodeToString(name)
	return &named
}

// ofDomain reports whether the request names this domain.
func (r *request) ofDomain(name []byte) bool {
	return bytes.Equal(name, r.msg.Domain) || bytes.Equal(name, r.to)
}

// readEncs reads the encapsulated keys. Each must be what its ref says. Those that no field names are dropped, so that
// a caller may send a record's map with some of its fields.
func (r *request) readEncs(v *fastjson.Value) (f *fault) {
	if v == nil {
		return nil
	}
	obj, err := v.Object()
	if err != nil {
		return faultEncsShape
	}
	if obj.Len() > wire.MaxEncs {
		return faultEncCount
	}
	obj.Visit(func(name []byte, v *fastjson.Value) {
		if f == nil {
			f = r.readEnc(name, v)
		}
	})
	return f
}

func (r *request) readEnc(name []byte, v *fastjson.Value) *fault {
	if v.Type() != fastjson.TypeString {
		return faultEncsShape
	}
	ref, ok := r.lowerHex(name, sealed.RefSize)
	if !ok {
		return faultRef
	}
	key, err := r.base64(str(v))
	if err != nil || len(key) != sealed.Suite(r.msg.Suite).EncSize() {
		return faultEnc
	}
	if sealed.RefOf(key) != sealed.Ref(ref) {
		return faultEncRef
	}
	if r.enc(sealed.Ref(ref)) != nil {
		return faultEncTwice
	}
	r.encs = append(r.encs, enc{ref: sealed.Ref(ref), key: key, index: -1})
	return nil
}

// enc is the encapsulated key of a ref, or nil. There are few.
func (r *request) enc(ref sealed.Ref) *enc {
	for i := range r.encs {
		if r.encs[i].ref == ref {
			return &r.encs[i]
		}
	}
	return nil
}

// refField adds a field of encoding 4.
func (r *request) refField(name, blob []byte) *fault {
	ref, _, err := sealed.ParseRef(blob)
	if err != nil {
		return faultRefField
	}
	e := r.enc(ref)
	if e == nil {
		return faultRefUnknown
	}
	if e.index < 0 {
		e.index = len(r.msg.Encs)
		r.msg.Encs = append(r.msg.Encs, e.key)
	}
	r.msg.AddField(name, blob).Enc = uint8(e.index)
	return nil
}

// domainRecords reads the records that the request hands over. One of another domain than the request's, and a second
// one of the same, is refused.
func (r *request) domainRecords(v *fastjson.Value) *fault {
	if v == nil {
		return nil
	}
	list, err := v.Array()
	if err != nil {
		return faultRecordsShape
	}
	if len(list) > parentapi.MaxDomainRecords {
		return faultRecordCount
	}
	for _, v := range list {
		if v.Type() != fastjson.TypeString {
			return faultRecordsShape
		}
		record, err := r.base64(str(v))
		if err != nil {
			return faultRecord
		}
		name, ok := recordName(record)
		if !ok {
			return faultRecord
		}
		had := slices.ContainsFunc(r.records, func(had pool.Record) bool { return had.Name == name })
		if had || !r.ofDomain(name[:]) {
			return faultRecordOther
		}
		r.records = append(r.records, pool.Record{Name: name, Bytes: record})
	}
	return nil
}

// recordName is the name of the domain whose record this is, by its first part: the length of the descriptor as u16,
// and the descriptor. The rest is for the enclave to judge, which may know more of it than this release.
func recordName(record []byte) (name [wire.DomainNameSize]byte, ok bool) {
	if len(record) < 2 || len(record) > wire.MaxDomainRecord {
		return name, false
	}
	n := int(binary.BigEndian.Uint16(record))
	if n == 0 || n > len(record)-2 {
		return name, false
	}
	sum := sha512.Sum384(record[2 : 2+n])
	copy(name[:], sum[:])
	return name, true
}

// lowerHex decodes size bytes of lower-case hex into the scratch buffer, which decode has made large enough.
func (r *request) lowerHex(s []byte, size int) ([]byte, bool) {
	if len(s) != 2*size || bytes.ContainsAny(s, "ABCDEF") {
		return nil, false
	}
	at := len(r.scratch)
	var err error
	r.scratch, err = hex.AppendDecode(r.scratch, s)
	return r.scratch[at:len(r.scratch):len(r.scratch)], err == nil
}
