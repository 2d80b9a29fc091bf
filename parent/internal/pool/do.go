package pool

import (
	"context"
	"errors"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

// maxAttempts bounds how often a request is sent, each time on another session.
const maxAttempts = 3

// usable is what an enclave must have to be asked if none is fully ready. Without credentials it still answers from
// its cache of keys, and returns a typed error for the rest.
const usable = wire.HealthReady &^ wire.HealthCredentials

// maxLost bounds on how many sessions a request may be that end before they answer it.
const maxLost = 2

// tried remembers the sessions on which a request has been sent.
type tried struct {
	clients [maxAttempts]*session.Client
	enclave *enclave // the enclave of the last session
	n       int
	lost    int           // sessions that ended when their enclave may already have had the request
	need    wire.Features // features that a session must have
}

func (t *tried) add(e *enclave, c *session.Client) {
	t.clients[t.n] = c
	t.n++
	t.enclave = e
}

func (t *tried) has(c *session.Client) bool {
	for _, had := range t.clients[:t.n] {
		if had == c {
			return true
		}
	}
	return false
}

// again reports whether a request that failed with err may be sent to another session; see the package's doc.
func (t *tried) again(err error) bool {
	if !elsewhere(err) {
		return false
	}
	if !errors.Is(err, session.ErrSentUnknown) {
		return t.n < maxAttempts
	}
	t.lost++
	return t.lost < maxLost && t.n < maxAttempts && errors.Is(err, session.ErrClosed)
}

// pick returns the best session: of a ready enclave rather than a usable one, on another enclave than the last that
// failed, with the fewest requests in flight. Enclaves take turns. Of an enclave's equal sessions it returns the
// first, so that requests that come one at a time find its other end awake. It returns nil if there is none.
func (p *Pool) pick(t *tried) (*link, *session.Client) {
	links := *p.links.Load()
	if len(links) == 0 {
		return nil, nil
	}
	var best *link
	var client *session.Client
	least := int(^uint(0) >> 1)
	first := int(p.turn.Add(1)) % (len(links) / p.o.Sessions) * p.o.Sessions
	for i := range links {
		l := links[(first+i)%len(links)]
		c := l.client.Load()
		if c == nil || t.has(c) || !l.health().Has(usable) || c.Draining() ||
			t.need != 0 && !c.Features().Has(t.need) {
			continue
		}
		cost := c.InFlight()
		if !l.health().Has(wire.HealthReady) {
			cost += penalty
		}
		if t.n > 0 && l.enclave == t.enclave {
			cost += penalty / 2
		}
		if cost < least {
			best, client, least = l, c, cost
		}
	}
	return best, client
}

// penalty is more than any number of requests in flight.
const penalty = 1 << 30

// Ask says how a request is to be sent.
type Ask struct {
	// Deadline is when the request must have ended, hand-overs and repetitions included.
	Deadline time.Time
	// Batch sends it on the batch lane.
	Batch bool
	// Records are those of the request's domains, at most one of each. The record of a domain that an enclave does not
	// know is handed over, and the request is then sent once more on that session.
	Records []Record
}

// Do sends msg to an enclave and waits for the answer, until ask.Deadline or ctx ends. The caller MUST Release the
// call. Errors: *wire.Error, ErrNoEnclave, ErrNoneReady, ErrUnanswered, ErrNoPaddedReply, ErrNoDomains,
// ErrRecordRefused, ErrDomainNotKept. The answer to a reseal is never that a domain is unknown: that is an
// [*UnknownDomainError].
func (p *Pool) Do(ctx context.Context, ask Ask, msg wire.LaneMessage) (*session.Call, error) {
	t := tried{need: msg.Needs()}
	return p.try(&t, ask, msg, func(c *session.Client, call *session.Call) error {
		if err := c.Do(ctx, call); err != nil {
			return err
		}
		return unknownTo(call)
	})
}

// Start sends msg to an enclave and does not wait. The call is sent to done, with User set to user, at the deadline at
// the latest; give it to Finish then. done must have room for all calls that it was given to, and msg must last until
// Finish returns. An error, as of Do, means that nothing will be sent to done.
func (p *Pool) Start(ask Ask, msg wire.LaneMessage, user any, done chan<- *session.Call) error {
	t := tried{need: msg.Needs()}
	_, err := p.try(&t, ask, msg, func(c *session.Client, call *session.Call) error {
		call.User = user
		return c.Start(call, done)
	})
	return err
}

// Finish is the outcome of a call that Start has sent: what Do would have returned. If the request may be answered on
// another session, or once the enclave has the domain's record, Finish sends it and waits for the answer.
func (p *Pool) Finish(ctx context.Context, ask Ask, msg wire.LaneMessage, call *session.Call) (
	*session.Call, error,
) {
	err := call.Err()
	if err == nil {
		return call, nil
	}
	t := tried{need: msg.Needs()}
	c := call.Client()
	e := p.enclaveOf(c)
	call.Release()
	send := func(c *session.Client, call *session.Call) error { return c.Do(ctx, call) }
	if len(ask.Records) > 0 && lacksDomain(err) {
		if e == nil { // the enclave has left the pool since
			return p.try(&t, ask, msg, send)
		}
		call, err = p.withRecords(err, ask, e, c, msg, send)
		if err == nil {
			return call, nil
		}
	}
	t.add(e, c)
	if !t.again(err) {
		return nil, p.give(err)
	}
	p.o.Observer.Retried()
	return p.try(&t, ask, msg, send)
}

// enclaveOf is the enclave of a session that the pool has, or nil.
func (p *Pool) enclaveOf(c *session.Client) *enclave {
	for _, l := range *p.links.Load() {
		if l.client.Load() == c {
			return l.enclave
		}
	}
	return nil
}

// sender sends a call on a session, and may wait for its answer.
type sender func(c *session.Client, call *session.Call) error

// try gives msg to send, on one session after the other, until send succeeds or it is of no use.
func (p *Pool) try(t *tried, ask Ask, msg wire.LaneMessage, send sender) (*session.Call, error) {
	full := false
	for {
		l, c := p.pick(t)
		switch {
		case c == nil && full:
			return nil, errOverloaded
		case c == nil:
			return nil, p.noneFor(t)
		}
		call, err := on(c, ask, msg, send)
		if len(ask.Records) > 0 && lacksDomain(err) {
			call, err = p.withRecords(err, ask, l.enclave, c, msg, send)
		}
		if err == nil {
			return call, nil
		}
		t.add(l.enclave, c)
		// Callers that pick at the same moment may pick the same session. Another one may have room.
		if full = errors.Is(err, session.ErrInFlight); full && t.n < maxAttempts {
			continue
		}
		if !t.again(err) {
			return nil, p.give(err)
		}
		p.o.Observer.Retried()
	}
}

// on sends msg on a session. Without an error, the call is the caller's to release.
func on(c *session.Client, ask Ask, msg wire.LaneMessage, send sender) (*session.Call, error) {
	call := c.NewCall()
	call.Kind, call.Batch, call.Deadline = msg.Kind(), ask.Batch, ask.Deadline
	call.Body = msg.AppendFor(c.Features(), call.Body)
	if err := send(c, call); err != nil {
		call.Release()
		return nil, err
	}
	return call, nil
}

// give returns the error for the caller of a request that failed with err and is not sent again.
func (p *Pool) give(err error) error {
	switch {
	case elsewhere(err) && errors.Is(err, session.ErrSentUnknown):
		p.o.Observer.NotRetried()
		return ErrUnanswered
	case errors.Is(err, ErrRecordRefused), errors.Is(err, ErrDomainNotKept), isNamed(err):
		return err
	}
	return translate(err)
}

// noneFor says why there is no session for a request.
func (p *Pool) noneFor(t *tried) error {
	for _, lacking := range [...]struct {
		feature wire.Features
		err     error
	}{
		{wire.FeatureDomainWrites, ErrNoDomains},
		{wire.FeatureDomains, ErrNoDomains},
		{wire.FeaturePaddedReply, ErrNoPaddedReply},
	} {
		if need := t.need; need.Has(lacking.feature) {
			t.need &^= lacking.feature
			if _, c := p.pick(t); c != nil {
				return lacking.err
			}
		}
	}
	return p.none()
}

// none says why there is no session.
func (p *Pool) none() error {
	if len(*p.links.Load()) == 0 {
		return ErrNoEnclave
	}
	return ErrNoneReady
}

// elsewhere reports whether another session may answer a request that this one did not: it ended, or drains.
func elsewhere(err error) bool {
	var we *wire.Error
	if errors.As(err, &we) {
		return we.Code == wire.ShuttingDown
	}
	var ce *session.CallError
	if !errors.As(err, &ce) {
		return false
	}
	for _, other := range [...]error{
		context.DeadlineExceeded, context.Canceled, session.ErrInFlight, session.ErrQueueFull, session.ErrTooLarge,
		session.ErrUnsupported, wire.ErrMalformed,
	} {
		if errors.Is(ce.Err, other) {
			return false
		}
	}
	return true
}

// These are the errors with which calls end, made once.
var (
	errDeadline   = &wire.Error{Code: wire.DeadlineExceeded}
	errOverloaded = &wire.Error{Code: wire.Overloaded}
	errTooLarge   = &wire.Error{Code: wire.BadRequest}
	errStopping   = &wire.Error{Code: wire.ShuttingDown}
	errInternal   = &wire.Error{Code: wire.Internal}
)

// translate turns a session's error into one that callers of the pool may see.
func translate(err error) error {
	var we *wire.Error
	switch {
	case errors.As(err, &we):
		return we
	case errors.Is(err, context.DeadlineExceeded):
		return errDeadline
	case errors.Is(err, session.ErrInFlight), errors.Is(err, session.ErrQueueFull):
		return errOverloaded
	case errors.Is(err, session.ErrTooLarge):
		return errTooLarge
	case errors.Is(err, context.Canceled):
		return errStopping
	case elsewhere(err):
		return ErrNoneReady
	}
	return errInternal
}

// Attest asks an enclave for an attestation document over nonce; enclave is its id. Errors as Do.
func (p *Pool) Attest(ctx context.Context, nonce []byte) (document []byte, enclave string, err error) {
	l, c := p.pick(&tried{need: wire.FeatureAttest})
	if c == nil {
		return nil, "", p.none()
	}
	document, err = c.Attest(ctx, nonce, nil)
	if err != nil {
		return nil, "", translate(err)
	}
	enclave = string(c.Peer().EnclaveID)
	if enclave == "" {
		enclave = l.enclave.url
	}
	return document, enclave, nil
}

// Stats fetches the numbers of the enclave at url into m.
func (p *Pool) Stats(ctx context.Context, url string, m *wire.Stats) error {
	for _, l := range *p.links.Load() {
		if c := l.client.Load(); c != nil && l.enclave.url == url {
			return c.Stats(ctx, m)
		}
	}
	return ErrNoneReady
}
