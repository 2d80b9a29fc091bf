package kms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Kinds of faults.
const (
	FaultThrottle   = "throttle"                // ThrottlingException
	FaultDelay      = "delay"                   // answer later
	FaultError      = "error"                   // the exception Code with Status
	FaultDrop       = "drop"                    // cut the connection without an answer
	FaultPlaintext  = "plaintext"               // an attested answer also carries Plaintext
	FaultWrongKeyID = "wrong_key_id"            // Decrypt names another key
	FaultNoCMS      = "no_recipient_ciphertext" // an attested answer lacks CiphertextForRecipient
	FaultCorruptCMS = "corrupt_cms"             // one bit of CiphertextForRecipient is turned
)

// MaxFaults is the most faults that may be set at once, and MaxDelay the longest delay.
const (
	MaxFaults = 64
	MaxDelay  = 10 * time.Minute
)

// Fault is one misbehaviour on command, for the operations that it names.
type Fault struct {
	Kind      string `json:"kind"`
	Operation string `json:"operation,omitempty"` // "" is every operation
	Times     int    `json:"times,omitempty"`     // how often; 0: until cleared
	// PerSecond, of a throttle, lets this many calls a second pass, and refuses the others. 0: refuses all.
	PerSecond float64 `json:"per_second,omitempty"`
	DelayMS   int     `json:"delay_ms,omitempty"`
	Code      string  `json:"code,omitempty"`   // of an error; default KMSInternalException
	Status    int     `json:"status,omitempty"` // of an error; default 400, 500 for KMSInternalException
	Hits      int     `json:"hits"`             // how often it struck; not an input

	bucket *rate.Limiter
}

func (f *Fault) valid() error {
	switch f.Kind {
	case FaultThrottle, FaultDrop, FaultPlaintext, FaultWrongKeyID, FaultNoCMS, FaultCorruptCMS:
	case FaultDelay:
		if f.DelayMS < 1 || f.DelayMS > int(MaxDelay.Milliseconds()) {
			return errors.New("a delay needs delay_ms from 1 to 600000")
		}
	case FaultError:
		if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
			return errors.New("an error's status is 400 to 599")
		}
	default:
		return errors.New("unknown kind of fault")
	}
	if f.Operation != "" {
		if _, ok := operations[f.Operation]; !ok {
			return errors.New("unknown operation")
		}
	}
	if f.Times < 0 || f.PerSecond < 0 {
		return errors.New("times and per_second are not negative")
	}
	return nil
}

// mutation says how an answer is falsified.
type mutation struct{ plaintext, wrongKeyID, noRecipientCiphertext, corruptCMS bool }

var errDropped = errors.New("connection dropped on command")

// faultPlan is the list of set faults, in the order they were set. The zero value has none.
type faultPlan struct {
	mu     sync.Mutex
	faults []*Fault
}

// add sets further faults, or none of them when one is invalid.
func (p *faultPlan) add(list []Fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults)+len(list) > MaxFaults {
		return fmt.Errorf("more than %d faults", MaxFaults)
	}
	fresh := make([]*Fault, 0, len(list))
	for _, f := range list {
		if err := f.valid(); err != nil {
			return err
		}
		f.Hits = 0
		if f.PerSecond > 0 {
			f.bucket = rate.NewLimiter(rate.Limit(f.PerSecond), max(1, int(f.PerSecond)))
		}
		fresh = append(fresh, &f)
	}
	p.faults = append(p.faults, fresh...)
	return nil
}

func (p *faultPlan) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

func (p *faultPlan) list() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Fault, 0, len(p.faults))
	for _, f := range p.faults {
		out = append(out, *f)
	}
	return out
}

// apply waits, fails or returns the falsifications that are due for this call. Delays add up, and end when the caller
// has left.
func (p *faultPlan) apply(ctx context.Context, operation string, now time.Time) (m mutation, err error) {
	delay, m, err := p.due(operation, now)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return m, errDropped
		}
	}
	return m, err
}

func (p *faultPlan) due(operation string, now time.Time) (delay time.Duration, m mutation, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Operation != "" && f.Operation != operation {
			continue
		}
		if f.bucket != nil && f.bucket.AllowN(now, 1) {
			continue
		}
		f.Hits++
		switch f.Kind {
		case FaultDelay:
			delay += time.Duration(f.DelayMS) * time.Millisecond
		case FaultPlaintext:
			m.plaintext = true
		case FaultWrongKeyID:
			m.wrongKeyID = true
		case FaultNoCMS:
			m.noRecipientCiphertext = true
		case FaultCorruptCMS:
			m.corruptCMS = true
		default:
			if err = f.failure(); err != nil {
				p.expire()
				return delay, m, err
			}
		}
	}
	p.expire()
	return delay, m, nil
}

// expire removes the faults that have struck as often as they should.
func (p *faultPlan) expire() {
	p.faults = slices.DeleteFunc(p.faults, func(f *Fault) bool { return f.Times > 0 && f.Hits >= f.Times })
}

func (f *Fault) failure() error {
	switch f.Kind {
	case FaultThrottle:
		return errThrottled
	case FaultDrop:
		return errDropped
	}
	e := *errInternal
	if f.Code != "" && f.Code != e.Code {
		e = Error{Code: f.Code, Message: "Failed on command.", Status: http.StatusBadRequest}
	}
	if f.Status != 0 {
		e.Status = f.Status
	}
	return &e
}

// otherKeyARN names a key that does not exist, of the same region and account.
func otherKeyARN(arn string) string {
	last := byte('0')
	if arn[len(arn)-1] == last {
		last = '1'
	}
	return arn[:len(arn)-1] + string(last)
}
