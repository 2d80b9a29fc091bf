package front

import (
	"bytes"
	"slices"

	"github.com/valyala/fastjson"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// take sorts the members of an object by names: each that is known, once, and nothing else. required of them, from the
// first, must be there.
func take(obj *fastjson.Object, required int, names []string, values []*fastjson.Value) *fault {
	var f *fault
	obj.Visit(func(name []byte, v *fastjson.Value) {
		switch i := slices.Index(names, string(name)); {
		case i < 0:
			f = faultUnknownKey
		case values[i] != nil:
			f = faultTwice
		default:
			values[i] = v
		}
	})
	if f != nil {
		return f
	}
	for i := range required {
		if values[i] == nil {
			return misshapen(names[i] + " is required")
		}
	}
	return nil
}

// text reads a string.
func text(name string, v *fastjson.Value) ([]byte, *fault) {
	s, err := v.StringBytes()
	if err != nil {
		return nil, misshapen(name + " must be a string")
	}
	return s, nil
}

// binary reads from least to most bytes in base64.
func (r *request) binary(name string, v *fastjson.Value, least, most int) ([]byte, *fault) {
	s, f := text(name, v)
	if f != nil {
		return nil, f
	}
	b, err := r.base64(s)
	if err != nil || len(b) < least || len(b) > most {
		return nil, invalid(name + " must be standard padded base64, within its bounds")
	}
	return b, nil
}

// number reads an integer from 1 to most.
func number(name string, v *fastjson.Value, most int) (int, *fault) {
	if v.Type() != fastjson.TypeNumber {
		return 0, misshapen(name + " must be a number")
	}
	n, err := v.Int()
	if err != nil || n < 1 || n > most {
		return 0, invalid(name + " must be an integer from 1, within its bounds")
	}
	return n, nil
}

// suites reads a list of suites by name, which ascend by number after the first ones, and none twice.
func suites(name string, v *fastjson.Value, least, most, first int) ([]byte, *fault) {
	list, err := v.Array()
	if err != nil {
		return nil, misshapen(name + " must be an array of strings")
	}
	if len(list) < least || len(list) > most {
		return nil, invalid(name + " has too few or too many suites")
	}
	out := make([]byte, 0, len(list))
	for i, v := range list {
		s, f := text(name, v)
		if f != nil {
			return nil, misshapen(name + " must be an array of strings")
		}
		suite, err := sealed.DomainSuiteNamed(s)
		n := byte(suite)
		if err != nil || bytes.IndexByte(out, n) >= 0 || i > first && n < out[i-1] {
			return nil, invalid(name + " must be names of suites in the order of their numbers, none twice")
		}
		out = append(out, n)
	}
	return out, nil
}

// oneSuite reads the name of one suite; none is 0.
func oneSuite(v *fastjson.Value) (byte, *fault) {
	if v == nil {
		return 0, nil
	}
	s, f := text("suite", v)
	if f != nil || len(s) == 0 {
		return 0, f
	}
	suite, err := sealed.DomainSuiteNamed(s)
	if err != nil {
		return 0, faultSuiteName
	}
	return byte(suite), nil
}

// generationMost and epochMost are the largest numbers of 16 bits.
const (
	generationMost = 1<<16 - 1
	epochMost      = 1<<16 - 1
)

// createNonce is the size of the nonce of a domain's creation.
const createNonce = 32

func (r *request) createDomain(obj *fastjson.Object) (*write, *fault) {
	var v [6]*fastjson.Value
	f := take(obj, 5, []string{"id", "generation", "suites", "data_keys", "nonce", "request_suites"}, v[:])
	if f != nil {
		return nil, f
	}
	m := &wire.CreateDomainRequest{}
	if m.ID, f = text("id", v[0]); f != nil {
		return nil, f
	}
	if !domain.ValidID(m.ID) {
		return nil, faultDomainID
	}
	n, f := number("generation", v[1], generationMost)
	if f != nil {
		return nil, f
	}
	m.Generation = uint16(n)
	if m.Suites, f = suites("suites", v[2], 1, wire.MaxSuites, 1); f != nil {
		return nil, f
	}
	if v[5] != nil {
		if m.RequestSuites, f = suites("request_suites", v[5], 0, wire.MaxRequestSuites, 0); f != nil {
			return nil, f
		}
	}
	if m.DataKeys, f = r.dataKeys(v[3]); f != nil {
		return nil, f
	}
	if m.Nonce, f = r.binary("nonce", v[4], createNonce, createNonce); f != nil {
		return nil, f
	}
	return &write{msg: m, answer: (*Server).answerCreated}, nil
}

// dataKeys reads the data keys of a domain's wraps, none of the same KMS key.
func (r *request) dataKeys(v *fastjson.Value) ([]wire.DataKey, *fault) {
	list, err := v.Array()
	if err != nil {
		return nil, misshapen("data_keys must be an array of objects")
	}
	if len(list) == 0 || len(list) > wire.MaxDataKeys {
		return nil, faultDataKeyCount
	}
	keys := make([]wire.DataKey, 0, len(list))
	for _, v := range list {
		k, f := r.dataKey(v)
		if f != nil {
			return nil, f
		}
		if slices.ContainsFunc(keys, func(had wire.DataKey) bool { return bytes.Equal(had.ARN, k.ARN) }) {
			return nil, faultDataKeyTwice
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (r *request) dataKey(v *fastjson.Value) (k wire.DataKey, f *fault) {
	obj, err := v.Object()
	if err != nil {
		return k, misshapen("a data key must be an object")
	}
	var m [2]*fastjson.Value
	if f = take(obj, 2, []string{"key_arn", "ciphertext"}, m[:]); f != nil {
		return k, f
	}
	if k.ARN, f = text("key_arn", m[0]); f != nil {
		return k, f
	}
	if len(k.ARN) == 0 || len(k.ARN) > wire.MaxKeyARN {
		return k, faultKeyARN
	}
	k.Ciphertext, f = r.binary("ciphertext", m[1], 1, wire.MaxWrappedKey)
	return k, f
}

func (r *request) wrapDomain(obj *fastjson.Object) (*write, *fault) {
	var v [2]*fastjson.Value
	f := take(obj, 1, []string{"record", "data_key"}, v[:])
	if f != nil {
		return nil, f
	}
	m := &wire.WrapDomainRequest{}
	if m.Record, f = r.binary("record", v[0], 1, wire.MaxDomainRecord); f != nil {
		return nil, f
	}
	if _, ok := recordName(m.Record); !ok {
		return nil, faultRecord
	}
	if v[1] != nil {
		k, f := r.dataKey(v[1])
		if f != nil {
			return nil, f
		}
		m.DataKeys = []wire.DataKey{k}
	}
	return &write{msg: m, answer: (*Server).answerWrapped}, nil
}

func (r *request) mint(obj *fastjson.Object) (*write, *fault) {
	var v [4]*fastjson.Value
	f := take(obj, 2, []string{"domain", "count", "suite", "domain_records"}, v[:])
	if f != nil {
		return nil, f
	}
	if r.msg.Domain, f = r.domainName("domain", v[0]); f != nil {
		return nil, f
	}
	count, f := number("count", v[1], wire.MaxMint)
	if f != nil {
		return nil, f
	}
	m := &wire.MintRequest{Domain: r.msg.Domain, Count: uint8(count)}
	if m.Suite, f = oneSuite(v[2]); f != nil {
		return nil, f
	}
	if f := r.domainRecords(v[3]); f != nil {
		return nil, f
	}
	return &write{msg: m, batch: true, answer: func(s *Server, out *buffer, body []byte) *fault {
		return s.answerMinted(out, body, count)
	}}, nil
}

func (r *request) reseal(obj *fastjson.Object) (*write, *fault) {
	var v [4]*fastjson.Value
	f := take(obj, 3, []string{"old", "to", "epoch", "suite"}, v[:])
	if f != nil {
		return nil, f
	}
	m := &wire.ResealRequest{}
	if r.to, f = r.domainName("to", v[1]); f != nil {
		return nil, f
	}
	epoch, f := number("epoch", v[2], epochMost)
	if f != nil {
		return nil, f
	}
	m.To, m.Epoch = r.to, uint16(epoch)
	if m.Suite, f = oneSuite(v[3]); f != nil {
		return nil, f
	}
	old, err := v[0].Object()
	if err != nil {
		return nil, misshapen("old must be an object")
	}
	if f := r.decodeObject(old, v1); f != nil {
		return nil, f
	}
	m.Old = r.msg
	return &write{msg: m, batch: true, answer: r.answerResealed}, nil
}

// domainName reads the name of a domain.
func (r *request) domainName(member string, v *fastjson.Value) ([]byte, *fault) {
	s, f := text(member, v)
	if f != nil {
		return nil, f
	}
	name, ok := r.lowerHex(s, wire.DomainNameSize)
	if !ok {
		return nil, invalid(member + " must be 64 digits of lower-case hex")
	}
	return name, nil
}
