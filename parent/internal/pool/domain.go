package pool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

// Record is the record of a domain, and the domain's name: the first bytes of the SHA-384 of its descriptor.
type Record struct {
	Name  [wire.DomainNameSize]byte
	Bytes []byte
}

const (
	// handOverTime bounds the handing over of one record, for all requests that wait for it. Each of them waits no
	// longer than its own deadline.
	handOverTime = 10 * time.Second
	// maxHandOvers bounds the records that are being handed over to one enclave. It asks KMS for as many at once. A
	// record may be longer than a chunk, and a session ends if more than 8 long messages are half received on its
	// control stream.
	maxHandOvers = 4
)

var (
	// ErrDomainNotKept reports that an enclave took the record of a domain, and then said again that it does not know
	// the domain.
	ErrDomainNotKept = errors.New("the enclave does not keep the domain whose record it took")
	// ErrRecordRefused reports that an enclave does not know the request's domain, and that the record which came with
	// the request does not open it: it is malformed, or its secret is not the descriptor's.
	ErrRecordRefused = errors.New("the enclave refuses the domain's record")
	// ErrNoDomains reports that a request is for a vault under a domain, and that each enclave that can be asked is of a
	// version without domains.
	ErrNoDomains = errors.New("no enclave knows domains")
)

// UnknownDomainError reports which of the request's domains the enclave does not know, where the request has several.
// It unwraps to a *wire.Error of code domain_unknown.
type UnknownDomainError struct {
	Name [wire.DomainNameSize]byte
}

func (*UnknownDomainError) Error() string { return wire.DomainUnknown.Text() }

// Unwrap is the code.
func (*UnknownDomainError) Unwrap() error { return errDomainUnknown }

var errDomainUnknown = &wire.Error{Code: wire.DomainUnknown}

// unknownTo is an [*UnknownDomainError] if a reseal's answer says that the enclave does not know a domain.
func unknownTo(call *session.Call) error {
	if call.AnswerKind != wire.KindResealed || len(call.Answer) == 0 || wire.Code(call.Answer[0]) != wire.DomainUnknown {
		return nil
	}
	var m wire.ResealResponse
	if m.Decode(call.Answer) == nil {
		return &UnknownDomainError{Name: [wire.DomainNameSize]byte(m.Domain)}
	}
	return nil // what is malformed is for the caller to find
}

// isNamed reports whether err says which domain is unknown.
func isNamed(err error) bool {
	var unknown *UnknownDomainError
	return errors.As(err, &unknown)
}

// lacksDomain reports whether the enclave answered that it does not know a domain of the request.
func lacksDomain(err error) bool {
	if err == nil {
		return false // before we is on the heap
	}
	var we *wire.Error
	return errors.As(err, &we) && we.Code == wire.DomainUnknown
}

// wanted is the index of the record of the domain that err names, or of the only one if err names none; -1 if there is
// no such record.
func (a *Ask) wanted(err error) int {
	var unknown *UnknownDomainError
	if errors.As(err, &unknown) {
		return slices.IndexFunc(a.Records, func(r Record) bool { return r.Name == unknown.Name })
	}
	if len(a.Records) == 1 {
		return 0
	}
	return -1
}

// withRecords hands the record of the domain that err is about over to the enclave, and sends the request once more on
// the same session; so for each domain of the request, once.
func (p *Pool) withRecords(err error, ask Ask, e *enclave, c *session.Client, msg wire.LaneMessage, send sender) (
	*session.Call, error,
) {
	given := map[int]bool{}
	for {
		i := ask.wanted(err)
		switch {
		case i < 0:
			return nil, err
		case given[i]:
			p.o.Observer.DomainNotKept()
			return nil, ErrDomainNotKept
		}
		given[i] = true
		err = p.handOver(ask.Deadline, e, c, ask.Records[i].Bytes)
		p.o.Observer.DomainHandedOver(err == nil)
		if err != nil {
			return nil, refusal(err)
		}
		var call *session.Call
		if call, err = on(c, ask, msg, send); !lacksDomain(err) {
			return call, err
		}
	}
}

// refusal is [ErrRecordRefused] for what an enclave says of a record that is not right, and err otherwise. Those codes
// of the enclave would speak of the request's own fields.
func refusal(err error) error {
	var we *wire.Error
	if errors.As(err, &we) && (we.Code == wire.BadRequest || we.Code == wire.DecryptFailed) {
		return ErrRecordRefused
	}
	return err
}

// handOver gives an enclave the record of a domain, and waits until it has opened the domain. Requests that have the
// same record for the same enclave share one attempt. Errors are those of a call of a session.
func (p *Pool) handOver(deadline time.Time, e *enclave, c *session.Client, record []byte) error {
	sum := sha256.Sum256(record)
	record = bytes.Clone(record) // the attempt may outlast this request
	ch := e.opening.DoChan(string(sum[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(p.ctx, handOverTime)
		defer cancel()
		select {
		case e.handOvers <- struct{}{}:
			defer func() { <-e.handOvers }()
		case <-ctx.Done():
			return nil, errOverloaded
		}
		return nil, c.OpenDomain(ctx, record)
	})
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case r := <-ch:
		return r.Err
	case <-late.C:
		return errDeadline
	}
}
