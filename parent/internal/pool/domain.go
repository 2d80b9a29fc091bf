package pool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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
	// maxHandOvers bounds the records that are being handed over to one enclave, and so the memory that its control
	// streams hold of them: 16 KiB for each.
	maxHandOvers = 16
)

var (
	// ErrDomainNotKept reports that an enclave took the record of a domain, and then said again that it does not know the domain.
	ErrDomainNotKept = errors.New("the enclave does not keep the domain whose record it took")
	// ErrRecordRefused reports that an enclave does not know the request's domain, and that the record which came with
	// the request does not open it: it is malformed, or its secret is not the descriptor's.
	ErrRecordRefused = errors.New("the enclave refuses the domain's record")
	// ErrNoDomains reports that a request is for a vault under a domain, and that each enclave that can be asked is of a
	// version without domains.
	ErrNoDomains = errors.New("no enclave knows domains")
)

// lacksDomain reports whether the enclave answered that it does not know the request's domain.
func lacksDomain(err error) bool {
	if err == nil {
		return false // before we is on the heap
	}
	var we *wire.Error
	return errors.As(err, &we) && we.Code == wire.DomainUnknown
}

// withRecords hands the records of ask over to an enclave that does not know the request's domain, and sends the
// request once more on the same session.
func (p *Pool) withRecords(ask Ask, e *enclave, c *session.Client, msg *wire.DecryptRequest, send sender) (
	*session.Call, error,
) {
	for i := range ask.Records {
		err := p.handOver(ask.Deadline, e, c, ask.Records[i].Bytes)
		p.o.Observer.DomainHandedOver(err == nil)
		var we *wire.Error
		if errors.As(err, &we) && (we.Code == wire.BadRequest || we.Code == wire.DecryptFailed) {
			err = ErrRecordRefused
		}
		if err != nil {
			return nil, err
		}
	}
	call, err := on(c, ask, msg, send)
	if lacksDomain(err) {
		p.o.Observer.DomainNotKept()
		err = ErrDomainNotKept
	}
	return call, err
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
