package engine

import (
	"unsafe"

	"redoubt/enclave/internal/expr"
	"redoubt/wire"
	"redoubt/wire/session"
)

// These bound what a job in work holds beside its body: see [Config.MaxWaitingBytes].
const (
	// waitOverhead covers the timer, the place in the key cache's list, the task, and what the allocator rounds up.
	waitOverhead = 1 << 10
	// keepWaiting is the largest buffer that a job which waits keeps without using it yet.
	keepWaiting = 4 << 10
)

// lighten frees memory of earlier requests that this one does not use while it waits.
func (j *job) lighten() {
	if cap(j.results) > keepWaiting {
		j.results = nil // wiped when the request before this one ended
	}
	if need := len(j.plain); cap(j.plain) > 2*need+keepWaiting && j.cold == len(j.fields) {
		j.plain = make([]byte, need)
		j.layOut()
	}
}

// held is the memory that the request holds while it waits, by capacities.
func (j *job) held(r *session.Request) int64 {
	n := r.Held() + waitOverhead + int(unsafe.Sizeof(*j)) + cap(j.names) + cap(j.plain) + cap(j.results)
	n += cap(j.fields)*int(unsafe.Sizeof(field{})) + 2*cap(j.heads)
	n += cap(j.vars)*int(unsafe.Sizeof(expr.Field{})) + cap(j.exprs)*int(unsafe.Sizeof(expr.Expression{}))
	n += cap(j.spans) * int(unsafe.Sizeof(expr.Result{}))
	n += cap(j.req.Fields)*int(unsafe.Sizeof(wire.Field{})) + cap(j.req.Expressions)*int(unsafe.Sizeof(wire.Expression{}))
	return int64(n)
}
