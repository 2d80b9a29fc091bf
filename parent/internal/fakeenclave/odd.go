package fakeenclave

import (
	"sync/atomic"

	"redoubt/wire"
)

// oddSession is the first session of an enclave, when it is to say other things of itself than those that follow.
type oddSession struct {
	lacks    atomic.Uint32
	opened   atomic.Bool
	requests atomic.Int64
}

// isNext tells whether the session that is being opened is the first.
func (o *oddSession) isNext() bool { return o.opened.CompareAndSwap(false, true) }

// FirstLacks takes bits from the pongs of the enclave's first session alone, as an enclave does that KMS refuses that
// session's credentials.
func (e *Enclave) FirstLacks(h wire.Health) { e.odd.lacks.Store(uint32(h)) }

// FirstRequests is how many requests came by the first session.
func (e *Enclave) FirstRequests() int64 { return e.odd.requests.Load() }
