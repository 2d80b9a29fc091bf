package fakeenclave

import (
	"sync/atomic"

	"redoubt/wire"
)

// oddSession is the first session of an enclave, if it must say other things of the enclave than later sessions.
type oddSession struct {
	lacks    atomic.Uint32
	opened   atomic.Bool
	requests atomic.Int64
}

// isNext reports whether the session that is being opened is the first.
func (o *oddSession) isNext() bool { return o.opened.CompareAndSwap(false, true) }

// FirstLacks removes bits from the pongs of the enclave's first session alone, as if KMS refused that session's
// credentials.
func (e *Enclave) FirstLacks(h wire.Health) { e.odd.lacks.Store(uint32(h)) }

// FirstRequests is how many requests came over the first session.
func (e *Enclave) FirstRequests() int64 { return e.odd.requests.Load() }
