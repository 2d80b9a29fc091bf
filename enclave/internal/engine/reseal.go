package engine

import (
	"bytes"
	"slices"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// resealing is what a job needs beside the fields that it opens, to seal them again. A reseal is a decrypt until all
// fields are open. Then one more unit of work makes the new key and seals them. Nothing that was opened is answered.
type resealing struct {
	to    keys.DomainName
	asked sealed.Suite // 0: the domain's default
	suite sealed.Suite
	epoch uint16

	unknown keys.DomainName // the domain that is not open, for domain_unknown
	made    keys.Resealed
	code    wire.Code // why nothing was made
}

// decodeReseal reads a reseal. The vault as it is becomes the job's request.
func (j *job) decodeReseal(body []byte) bool {
	q := wire.ResealRequest{Old: j.req}
	err := q.Decode(body)
	j.req = q.Old
	if err != nil {
		return false
	}
	j.reseal.to, j.reseal.asked, j.reseal.epoch = keys.DomainName(q.To), sealed.Suite(q.Suite), q.Epoch
	return true
}

// parseReseal checks what a reseal needs beyond a decrypt, before anything is opened.
func (j *job) parseReseal() wire.Code {
	for i := range j.fields {
		name := j.fields[i].name
		same := func(f field) bool { return bytes.Equal(f.name, name) }
		if !sealed.ValidName(name) || slices.ContainsFunc(j.fields[:i], same) {
			return wire.BadRequest
		}
	}
	to, ok := j.target()
	if !ok {
		return j.reseal.code
	}
	defer to.Release()
	if j.keyReq.Domain == nil {
		if _, err := to.Takes(keys.Key{}, &j.keyReq, j.reseal.epoch); err != nil {
			return codeOf(err)
		}
	}
	j.reseal.unknown = j.domain // what else is not open
	return wire.OK
}

// target lends the domain of the new key. Without it reseal.code says why.
func (j *job) target() (keys.Domain, bool) {
	s := j.reseal
	to, suite, err := j.e.cfg.Keys.Domain(s.to, s.asked, j.from.Credentials)
	if err != nil {
		s.code, s.unknown = codeOf(err), s.to
		return keys.Domain{}, false
	}
	s.suite = suite
	return to, true
}

// allOpened reports whether every field has been opened.
func (j *job) allOpened() bool {
	return !slices.ContainsFunc(j.fields, func(f field) bool { return f.state != opened })
}

// resealFields makes the new key and seals the fields to it. It runs on a worker.
func (j *job) resealFields() {
	s := j.reseal
	to, ok := j.target() // it may have been closed since
	if !ok {
		return
	}
	defer to.Release()
	kind, err := to.Takes(j.key, &j.keyReq, s.epoch)
	if err != nil {
		s.code, s.unknown = codeOf(err), j.domain
		return
	}
	if len(j.fields) == 0 && j.key.Check() != nil { // else the fields have shown that the key opens
		s.code = wire.DecryptFailed
		return
	}
	id := string(j.req.VaultID)
	old := make([]domain.SealedField, len(j.fields))
	plain := make(map[string][]byte, len(j.fields))
	for i := range j.fields {
		f := &j.fields[i]
		old[i] = domain.SealedField{Name: string(f.name), Enc: f.blob.Enc, CT: f.blob.CT}
		plain[old[i].Name] = f.plain
	}
	was, err := domain.HashRecord(id, j.req.WrappedKey, old)
	if err == nil {
		s.made, err = to.Reseal(kind, id, s.suite, s.epoch, was, plain)
	}
	if err != nil {
		s.code, s.unknown = codeOf(err), s.to
	}
}

// answerReseal answers with the new key and the fields under it.
func (j *job) answerReseal() {
	s := j.reseal
	if !j.allOpened() {
		j.fail(wire.DecryptFailed, 0)
		return
	}
	if s.code != wire.OK {
		j.fail(s.code, 0)
		return
	}
	m := wire.ResealResponse{Key: vaultKey(&s.made.Key), Enc: s.made.Write.Enc, Statement: s.made.Statement[:]}
	size := 256 + len(m.Key.Wrapped) + len(m.Key.Public) + len(m.Enc)
	for i := range j.fields {
		f := s.made.Write.Fields[string(j.fields[i].name)]
		m.Fields = append(m.Fields, f)
		size += 8 + len(f)
	}
	if m.Validate() != nil {
		j.fail(wire.BadRequest, 0)
		return
	}
	if j.keyReq.Domain == nil {
		j.e.stats.Count(wire.StatResealedFromKMS)
	} else {
		j.e.stats.Count(wire.StatResealedFromDomain)
	}
	j.send(wire.KindResealed, m.Append(j.to.Buffer(size)))
}

// tellReseal answers with the particulars of a failure: which domain is not open, which fields do not open. It returns
// false for other codes.
func (j *job) tellReseal(c wire.Code) bool {
	j.countWrite(c)
	m := wire.ResealResponse{Code: c}
	switch c {
	case wire.DomainUnknown:
		m.Domain = j.reseal.unknown[:]
	case wire.DecryptFailed:
		for i := range j.fields {
			if j.fields[i].state == failed {
				m.Unopened = append(m.Unopened, uint8(i))
			}
		}
	default:
		return false
	}
	_ = j.to.Send(wire.KindResealed, m.Append(j.to.Buffer(headOverhead+wire.DomainNameSize+len(m.Unopened))))
	return true
}
