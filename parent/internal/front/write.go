package front

import (
	"context"
	"encoding/hex"
	"time"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
	"redoubt/wire/kit/sealed"
)

// write is a request of one of the routes of domains, and what becomes of its answer.
type write struct {
	msg interface {
		wire.LaneMessage
		Validate() error
	}
	// batch says that it is work of the batch lane, in which many vaults' keys wait for one another and for no read.
	batch bool
	// answer appends the enclave's answer as JSON, in room that it claims of s.
	answer func(s *Server, out *buffer, body []byte) *fault
}

// writeDomains answers the routes of domains. Nothing that it answers is secret: an answer holds ciphertext, public
// keys and signatures. It changes nothing either, until a caller stores it.
func (s *Server) writeDomains(x *exchange) *fault {
	x.begin(partRead)
	j := newJob()
	defer j.release()
	body, taken, f := s.readBody(x.ctx, j.body[:0], x.route.maxBody())
	defer s.bodies.Give(taken)
	j.body = body
	if f != nil {
		return f
	}
	w, f := j.req.decodeWrite(body, x.route)
	if f != nil {
		return f
	}
	x.begin(partEnclave)
	ask := j.req.ask(x.start.Add(s.o.RequestTimeout), w.batch)
	call, err := s.o.Upstream.Do(context.Background(), ask, w.msg)
	if err != nil {
		return j.req.fault(err, x.route)
	}
	defer call.Release()
	x.begin(partWrite)
	return w.answer(s, x.out, call.Answer)
}

// decodeWrite reads the body of a route of domains, which it does not keep.
func (r *request) decodeWrite(body []byte, route Route) (w *write, f *fault) {
	if err := jsonscan.Check(body, maxValues); err != nil {
		return nil, notJSON(err)
	}
	obj, f := r.root(body)
	if f != nil {
		return nil, f
	}
	switch route { //nolint:exhaustive // the routes of domains
	case RouteDomains:
		w, f = r.createDomain(obj)
	case RouteDomainWrap:
		w, f = r.wrapDomain(obj)
	case RouteVaultKeys:
		w, f = r.mint(obj)
	default:
		w, f = r.reseal(obj)
	}
	if f == nil && w.msg.Validate() != nil {
		f = faultSize
	}
	return w, f
}

// ask says how the request is sent.
func (r *request) ask(deadline time.Time, batch bool) pool.Ask {
	return pool.Ask{Deadline: deadline, Batch: batch, Records: r.records}
}

// claimed makes room for an answer of n bytes, or says that there is none.
func (s *Server) claimed(out *buffer, n int) *fault {
	if !out.claim(&s.answers, n) {
		return faultOf(wire.Overloaded, 0)
	}
	return nil
}

// base64Room is what the bytes of a value take as a member of an object with a name of up to 32 bytes.
func base64Room(b []byte) int { return 40 + strictBase64.EncodedLen(len(b)) }

// member appends a member in base64; first says that none is before it.
func (b *buffer) member(first bool, name string, value []byte) {
	if !first {
		b.text(",")
	}
	b.text(`"`)
	b.text(name)
	b.text(`":`)
	b.base64(value)
}

func (s *Server) answerCreated(out *buffer, body []byte) *fault {
	var m wire.CreateDomainResponse
	if m.Decode(body) != nil || len(m.Record) == 0 {
		return faultOf(wire.Internal, 0)
	}
	if f := s.claimed(out, base64Room(m.Record)+base64Room(m.Document)); f != nil {
		return f
	}
	out.text("{")
	out.member(true, "record", m.Record)
	out.member(false, "attestation", m.Document)
	out.text("}")
	return nil
}

func (s *Server) answerWrapped(out *buffer, body []byte) *fault {
	var m wire.WrapDomainResponse
	if m.Decode(body) != nil || len(m.Record) == 0 {
		return faultOf(wire.Internal, 0)
	}
	if f := s.claimed(out, base64Room(m.Record)); f != nil {
		return f
	}
	out.text("{")
	out.member(true, "record", m.Record)
	out.text("}")
	return nil
}

// vaultKeyRoom bounds what vaultKey appends.
func vaultKeyRoom(id []byte, k *wire.VaultKey) int {
	return 32 + jsonscan.MaxEscaped*len(id) + base64Room(k.Wrapped) + base64Room(k.Public) + base64Room(k.Statement)
}

func (b *buffer) vaultKey(id []byte, k *wire.VaultKey) {
	b.text(`{"vault_id":`)
	b.str(id)
	b.member(false, "wrapped_key", k.Wrapped)
	b.member(false, "public_key", k.Public)
	b.member(false, "statement", k.Statement)
	b.text("}")
}

// answerMinted appends as many keys as were asked for, or none.
func (s *Server) answerMinted(out *buffer, body []byte, count int) *fault {
	var m wire.MintResponse
	if m.Decode(body) != nil || len(m.Keys) != count {
		return faultOf(wire.Internal, 0)
	}
	size := 16
	for i := range m.Keys {
		size += 1 + vaultKeyRoom(m.Keys[i].VaultID, &m.Keys[i].Key)
	}
	if f := s.claimed(out, size); f != nil {
		return f
	}
	out.text(`{"keys":[`)
	for i := range m.Keys {
		if i > 0 {
			out.text(",")
		}
		out.vaultKey(m.Keys[i].VaultID, &m.Keys[i].Key)
	}
	out.text("]}")
	return nil
}

// answerResealed appends all fields under the new key, or says which of the old ones do not open.
func (r *request) answerResealed(s *Server, out *buffer, body []byte) *fault {
	var m wire.ResealResponse
	switch {
	case m.Decode(body) != nil:
		return faultOf(wire.Internal, 0)
	case m.Code == wire.DecryptFailed:
		return r.unopened(m.Unopened)
	case m.Code != wire.OK:
		return faultOf(m.Code, m.RetryAfterMS)
	case len(m.Fields) != len(r.fields):
		return faultOf(wire.Internal, 0)
	}
	ref := sealed.RefOf(m.Enc)
	size := 64 + vaultKeyRoom(r.msg.VaultID, &m.Key) + base64Room(m.Enc) + base64Room(m.Statement)
	for i, blob := range m.Fields {
		if of, _, err := sealed.ParseRef(blob); err != nil || of != ref {
			return faultOf(wire.Internal, 0)
		}
		size += len(r.fields[i].name) + base64Room(blob)
	}
	if f := s.claimed(out, size); f != nil {
		return f
	}
	out.text(`{"key":`)
	out.vaultKey(r.msg.VaultID, &m.Key)
	out.text(`,"encs":{`)
	if len(m.Fields) > 0 {
		out.member(true, hex.EncodeToString(ref[:]), m.Enc)
	}
	out.text(`},"fields":{`)
	for i, blob := range m.Fields {
		if i > 0 {
			out.text(",")
		}
		out.str(r.fields[i].name)
		out.text(":")
		out.base64(blob)
	}
	out.text("}")
	out.member(false, "statement", m.Statement)
	out.text("}")
	return nil
}

// unopened is the fault of a reseal that changes nothing, since these fields do not open, or the key does not.
func (r *request) unopened(fields []uint8) *fault {
	f := *faultUnopened
	for _, i := range fields {
		if int(i) >= len(r.fields) {
			return faultOf(wire.Internal, 0)
		}
		f.fields = append(f.fields, string(r.fields[i].name))
	}
	if len(f.fields) == 0 {
		return faultKeyUnopened
	}
	return &f
}
