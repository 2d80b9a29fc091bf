package engine

import (
	"context"
	"errors"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// maxCreating bounds the requests that make a domain or a wrap, or wait to.
const maxCreating = 16

// write takes a request that makes something of a domain's.
func (j *job) write(r *session.Request) {
	switch r.Kind {
	case wire.KindReseal:
		j.reseal = &resealing{}
		j.run(r)
	case wire.KindMint:
		j.mint(r)
	case wire.KindCreateDomain:
		var m wire.CreateDomainRequest
		j.aside(r, func(body []byte) error { return m.Decode(body) }, func(ctx context.Context) (wire.Kind, []byte, error) {
			return j.createDomain(ctx, &m)
		})
	case wire.KindWrapDomain:
		var m wire.WrapDomainRequest
		j.aside(r, func(body []byte) error { return m.Decode(body) }, func(ctx context.Context) (wire.Kind, []byte, error) {
			return j.wrapDomain(ctx, &m)
		})
	default:
		j.fail(wire.BadRequest, 0)
		j.release()
	}
}

// aside decodes a request that waits for KMS, and serves it on a goroutine of its own. serve has until the request's
// deadline. What it returns after that is not answered.
func (j *job) aside(
	r *session.Request, decode func(body []byte) error, serve func(ctx context.Context) (wire.Kind, []byte, error),
) {
	if decode(r.Own()) != nil {
		j.failWrite(wire.BadRequest, 0)
		j.release()
		return
	}
	j.admitted, j.waitBytes = true, j.held(r)
	if n := j.e.creating.Add(1); !j.e.admit(j.waitBytes) || n > maxCreating {
		j.e.creating.Add(-1)
		j.fail(wire.Overloaded, retryOverloaded)
		j.release()
		return
	}
	j.handed.Store(true)
	go func() {
		defer j.e.creating.Add(-1)
		j.handed.Store(false)
		defer j.guard()
		ctx, cancel := context.WithDeadline(context.Background(), j.deadline)
		defer cancel()
		kind, out, err := serve(ctx)
		if code := j.drop(); code != wire.OK {
			err = &wire.Error{Code: code}
		}
		if err != nil {
			j.failWriteWith(err)
		} else {
			j.send(kind, append(j.to.Buffer(len(out)), out...))
		}
		j.release()
	}()
}

// failWriteWith answers with the code that an error carries, and counts it.
func (j *job) failWriteWith(err error) {
	var we *wire.Error
	if !errors.As(err, &we) {
		we = &wire.Error{Code: wire.Internal}
	}
	j.failWrite(we.Code, time.Duration(we.RetryAfterMS)*time.Millisecond)
}

// failWrite answers with an error, and counts it.
func (j *job) failWrite(c wire.Code, retryAfter time.Duration) {
	j.countWrite(c)
	j.fail(c, retryAfter)
}

// countWrite counts what came to nothing.
func (j *job) countWrite(c wire.Code) {
	switch c {
	case wire.KeyDenied, wire.GenerationClosed:
		j.e.stats.Count(wire.StatDomainWritesRefused)
	case wire.DomainUnknown, wire.Overloaded, wire.ShuttingDown:
	default:
		j.e.stats.Count(wire.StatDomainWritesFailed)
	}
}

// createDomain makes a generation of a domain, and the document that says so.
func (j *job) createDomain(ctx context.Context, m *wire.CreateDomainRequest) (wire.Kind, []byte, error) {
	if j.e.cfg.Attest == nil {
		return 0, nil, &wire.Error{Code: wire.KeyDenied}
	}
	n := keys.NewDomain{
		ID: string(m.ID), Generation: m.Generation, Suites: suites(m.Suites), Requests: suites(m.RequestSuites),
	}
	for _, k := range m.DataKeys {
		n.DataKeys = append(n.DataKeys, keys.DataKey{KeyARN: string(k.ARN), Wrapped: k.Ciphertext})
	}
	record, descriptor, err := j.e.cfg.Keys.CreateDomain(ctx, n, j.from.Credentials)
	if err != nil {
		return 0, nil, err
	}
	doc, err := j.e.cfg.Attest(ctx, domain.CreatedUserData(j.e.cfg.Digest, descriptor), m.Nonce)
	if err != nil {
		return 0, nil, err
	}
	answer := wire.CreateDomainResponse{Record: record, Document: doc}
	if answer.Validate() != nil {
		return 0, nil, &wire.Error{Code: wire.Internal}
	}
	j.e.stats.Count(wire.StatDomainsCreated)
	return wire.KindCreatedDomain, answer.Append(nil), nil
}

// wrapDomain adds a wrap to a record, or shows that it opens.
func (j *job) wrapDomain(ctx context.Context, m *wire.WrapDomainRequest) (wire.Kind, []byte, error) {
	var more *keys.DataKey
	if len(m.DataKeys) > 0 {
		more = &keys.DataKey{KeyARN: string(m.DataKeys[0].ARN), Wrapped: m.DataKeys[0].Ciphertext}
	}
	record, err := j.e.cfg.Keys.WrapDomain(ctx, m.Record, more, j.from.Credentials)
	if err != nil {
		return 0, nil, err
	}
	if more != nil {
		j.e.stats.Count(wire.StatDomainWrapsAdded)
	} else {
		j.e.stats.Count(wire.StatDomainWrapsChecked)
	}
	return wire.KindWrappedDomain, (&wire.WrapDomainResponse{Record: record}).Append(nil), nil
}

func suites(numbers []byte) []sealed.Suite {
	list := make([]sealed.Suite, len(numbers))
	for i, n := range numbers {
		list[i] = sealed.Suite(n)
	}
	return list
}
