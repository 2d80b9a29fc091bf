package front

import (
	"context"
	"sync"

	"redoubt/wire"
)

// job holds what one decrypt request needs. Jobs are pooled.
type job struct {
	body []byte
	req  request
}

var jobs = sync.Pool{New: func() any { return new(job) }}

func newJob() *job { return jobs.Get().(*job) } //nolint:forcetypeassert // the pool's only type

// release puts the job back, unless it has grown large. It holds names and ciphertext, never plaintext.
func (j *job) release() {
	if cap(j.body) <= keep && j.req.keepable() {
		jobs.Put(j)
	}
}

// decrypt answers POST /decrypt and /v1/decrypt.
func (s *Server) decrypt(x *exchange, d dialect) *fault {
	x.begin(partRead)
	j := newJob()
	defer j.release()
	body, taken, f := s.readBody(x.ctx, j.body[:0], MaxBody)
	defer s.bodies.Give(taken)
	j.body = body
	if f != nil {
		return f
	}
	if f := j.req.decode(body, d); f != nil {
		return f
	}
	x.begin(partEnclave)
	call, err := s.o.Upstream.Do(context.Background(), j.req.ask(x.start.Add(s.o.RequestTimeout), false), &j.req.msg)
	if err != nil {
		return j.req.fault(err, x.route)
	}
	defer call.Release()
	x.begin(partWrite)
	a := newAnswer()
	defer a.release()
	if f := a.read(&j.req, call.Answer); f != nil {
		return f
	}
	if !x.out.claim(&s.answers, a.size(&j.req, len(call.Answer))) {
		return faultOf(wire.Overloaded, 0)
	}
	if d == reference {
		a.reference(x.out, &j.req)
		return nil
	}
	x.out.text("{")
	a.v1(x.out, &j.req)
	x.out.text("}")
	return nil
}
