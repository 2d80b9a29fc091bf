package engine

import (
	"bytes"
	"hash/maphash"

	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// parse decodes the request and checks everything that can be checked before a key is asked for.
func (j *job) parse(body []byte) wire.Code {
	if !j.decode(body) {
		return wire.BadRequest
	}
	q := &j.req
	if len(q.VaultID) == 0 || len(q.WrappedKey) == 0 || !j.suiteFits() {
		return wire.BadRequest
	}
	if c := j.parseNames(); c != wire.OK {
		return c
	}
	if c := j.parseReply(); c != wire.OK {
		return c
	}
	if len(q.Domain) > 0 {
		j.domain = keys.DomainName(q.Domain)
		j.keyReq = keys.Request{
			Suite: sealed.Suite(q.Suite), VaultID: q.VaultID, Wrapped: q.WrappedKey, Domain: &j.domain, By: j.from.Credentials,
			Reseal: j.reseal != nil,
		}
		return j.parseFields()
	}
	arn, ok := j.e.cfg.KeyARNs[string(q.Region)]
	if !ok || j.e.cfg.DomainsOnly || (!q.KeyContext && j.e.cfg.DenyContextless) {
		return wire.KeyDenied
	}
	j.keyReq = keys.Request{
		Suite: sealed.Suite(q.Suite), KeyContext: q.KeyContext, KeyARN: arn, VaultID: q.VaultID, Wrapped: q.WrappedKey,
		By: j.from.Credentials,
	}
	return j.parseFields()
}

// suiteFits reports whether the suite is one that the request may have. A domain is named only by a parent that has
// announced that it knows domains.
func (j *job) suiteFits() bool {
	s := sealed.Suite(j.req.Suite)
	if len(j.req.Domain) == 0 {
		return s.OnCurve()
	}
	return s.Valid() && j.to.Features().Has(wire.FeatureDomains)
}

// blob splits field i of the request.
func (j *job) blob(i int) (sealed.Blob, error) {
	q := &j.req
	f := &q.Fields[i]
	if len(q.Domain) > 0 {
		return sealed.JoinBlob(j.keyReq.Suite, f.Blob, q.Encs[f.Enc])
	}
	return sealed.ParseBlob(j.keyReq.Suite, sealed.Encoding(q.Encoding), f.Blob)
}

// parseNames lower-cases the fields' names. It refuses malformed names, and names that are written alike. Names that
// differ only in case ask twice for the same sealed field, as the reference (the AWS sample that Redoubt succeeds)
// allows.
func (j *job) parseNames() wire.Code {
	q := &j.req
	n := 0
	for i := range q.Fields {
		n += len(q.Fields[i].Name)
	}
	for i := range q.Expressions {
		n += len(q.Expressions[i].Name)
	}
	j.names = room(j.names, n)
	j.seen.reset()
	for i := range q.Fields {
		name, err := j.lower(q.Fields[i].Name)
		if err != nil || !j.seen.add(i, q.Fields) {
			return wire.BadRequest
		}
		j.fields = append(j.fields, field{name: name, next: -1})
	}
	return j.parseExpressions()
}

// lower appends a name in lower case to j.names, which has room for it.
func (j *job) lower(name []byte) ([]byte, error) {
	at := len(j.names)
	var err error
	j.names, err = sealed.AppendLower(j.names, name)
	return j.names[at:len(j.names):len(j.names)], err
}

// parseExpressions hides the fields that an expression replaces, and refuses expressions of one name.
func (j *job) parseExpressions() wire.Code {
	q := &j.req
	for i := range q.Expressions {
		x := &q.Expressions[i]
		if len(x.Name) == 0 {
			return wire.BadRequest
		}
		for k := range i {
			if bytes.Equal(x.Name, q.Expressions[k].Name) {
				return wire.BadRequest
			}
		}
		for k := range q.Fields {
			if bytes.Equal(x.Name, q.Fields[k].Name) {
				j.fields[k].hidden = true
			}
		}
		j.exprs = append(j.exprs, expr.Expression{Name: x.Name, Source: x.Source})
	}
	return wire.OK
}

// parseReply reads the caller's public key. A sealed reply carries names. They must be names of sealed fields as
// stored, and distinct.
func (j *job) parseReply() wire.Code {
	q := &j.req
	if len(q.ReplyKey) == 0 {
		return wire.OK
	}
	if !j.to.Features().Has(wire.FeaturePaddedReply) {
		return wire.BadRequest // the first layout showed lengths and failures
	}
	if !sealed.Suite(q.ReplySuite).OnCurve() {
		return wire.BadRequest
	}
	var err error
	if j.reply, err = sealed.ParsePublicKey(sealed.Suite(q.ReplySuite), q.ReplyKey); err != nil {
		return wire.BadRequest
	}
	for i := range q.Expressions {
		name, err := j.lower(q.Expressions[i].Name)
		if err != nil || !sealed.ValidName(name) {
			return wire.BadRequest
		}
		if k, ok := j.seen.find(name, q.Fields); ok {
			j.fields[k].hidden = true
		}
		for k := range i {
			if bytes.EqualFold(q.Expressions[i].Name, q.Expressions[k].Name) {
				return wire.BadRequest
			}
		}
	}
	for i := range q.Fields {
		if !sealed.ValidName(q.Fields[i].Name) {
			return wire.BadRequest
		}
	}
	return wire.OK
}

// parseFields splits the sealed fields and lays out the memory for their plaintexts. A malformed field fails alone.
// If all fields are malformed, the request fails before its key is asked for.
func (j *job) parseFields() wire.Code {
	total := 0
	for i := range j.fields {
		f := &j.fields[i]
		var err error
		f.blob, err = j.blob(i)
		if err != nil {
			j.failField(f)
			continue
		}
		j.cold++
		total += len(f.blob.CT)
	}
	if len(j.fields) > 0 && j.cold == 0 {
		return wire.DecryptFailed
	}
	j.plain = room(j.plain, total)[:total]
	j.layOut()
	return wire.OK
}

// layOut gives each field that can be opened its part of the memory for plaintexts.
func (j *job) layOut() {
	at := 0
	for i := range j.fields {
		f := &j.fields[i]
		if f.state == pending {
			end := at + len(f.blob.CT)
			f.room = j.plain[at:at:end]
			at = end
		}
	}
}

// decode reads the request.
func (j *job) decode(body []byte) bool {
	if j.reseal != nil {
		return j.decodeReseal(body)
	}
	return j.req.Decode(body) == nil
}

// rebind makes the request borrow from another copy of the same body.
func (j *job) rebind(body []byte) {
	if !j.decode(body) {
		panic("engine: the body changed")
	}
	q := &j.req
	j.keyReq.VaultID, j.keyReq.Wrapped = q.VaultID, q.WrappedKey
	for i := range j.fields {
		if f := &j.fields[i]; f.state == pending || j.reseal != nil { // a reseal hashes the opened ones too
			f.blob, _ = j.blob(i)
		}
	}
	for i := range j.exprs {
		j.exprs[i] = expr.Expression{Name: q.Expressions[i].Name, Source: q.Expressions[i].Source}
	}
}

// nameSet finds names that occur twice. It is an open hash table with twice as many slots as there can be fields.
type nameSet struct {
	slots [256]int16 // index of a field plus 1
}

var seed = maphash.MakeSeed()

func (s *nameSet) reset() { clear(s.slots[:]) }

// at returns the slot of name, or the free slot where it belongs.
func (s *nameSet) at(name []byte, fields []wire.Field) int {
	h := int(maphash.Bytes(seed, name) % uint64(len(s.slots)))
	for s.slots[h] != 0 && !bytes.Equal(fields[s.slots[h]-1].Name, name) {
		h = (h + 1) % len(s.slots)
	}
	return h
}

// add enters the name of field i. It returns false if the name is there already.
func (s *nameSet) add(i int, fields []wire.Field) bool {
	h := s.at(fields[i].Name, fields)
	if s.slots[h] != 0 {
		return false
	}
	s.slots[h] = int16(i + 1)
	return true
}

// find returns the index of the field of that name.
func (s *nameSet) find(name []byte, fields []wire.Field) (int, bool) {
	h := s.at(name, fields)
	return int(s.slots[h]) - 1, s.slots[h] != 0
}
