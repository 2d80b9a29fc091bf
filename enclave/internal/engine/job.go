package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/session"
)

// keepBytes is the largest buffer that a job keeps for its next request.
const keepBytes = 256 << 10

// job is one request in work. At any time exactly one goroutine owns it: first the lane's reader, then the goroutine
// that brings the key (or the deadline's, if that comes first), then the worker of its last unit. Only units run
// concurrently.
type job struct {
	workers.Task
	e    *Engine
	to   session.Responder
	from *Origin

	class    workers.Class
	arrived  time.Time
	deadline time.Time
	began    int64 // e.now() when the current stage began

	req    wire.DecryptRequest
	keyReq keys.Request
	domain keys.DomainName // keyReq points to it
	key    keys.Key
	keyed  bool
	reply  *sealed.PublicKey

	fields []field
	heads  []int16      // first field of each unit
	shares []keys.Share // of the units' contexts
	cold   int          // fields not yet opened
	seen   nameSet
	plan   *expr.Plan
	vars   []expr.Field
	exprs  []expr.Expression

	names   []byte // lower-cased names
	plain   []byte // plaintexts; wiped
	results []byte // results of expressions; wiped
	spans   []expr.Result
	bad     int              // expressions that failed
	reads   []wire.FieldRead // the access report

	reseal *resealing // nil for a decrypt

	phase  phase
	eval   *expr.Run // set while evaluating
	more   bool      // another slice must follow
	placed bool      // the job has a place among the evaluations that are begun
	took   time.Duration

	waitBytes int64
	admitted  bool
	refs      atomic.Int32 // one for the owner, and one for the deadline while the job waits for a key
	handed    atomic.Bool  // another goroutine owns the job, or may
	answered  atomic.Bool
	started   atomic.Bool // a worker has begun the job
	panicked  atomic.Bool // a unit has panicked
	late      atomic.Bool // a unit found that nobody wants the answer any more

	wait *wait // not reused: the deadline's goroutine may still look at it
}

// wait guards the hand-over between the key and the deadline.
type wait struct {
	mu    sync.Mutex
	ready bool
	timer *time.Timer
	place *keys.Wait
}

// field is one sealed field on its way. name and plain lie in the job's buffers, blob borrows from the request.
type field struct {
	name   []byte
	blob   sealed.Blob
	room   []byte // where the plaintext goes: an empty slice with its capacity
	plain  []byte
	state  fieldState
	hidden bool  // an expression of that name replaces the field
	next   int16 // next field of the same unit, or -1
}

type fieldState uint8

const (
	pending fieldState = iota
	opened
	failed
)

// begin starts a request in a fresh or recycled job.
func (j *job) begin(r *session.Request, from *Origin) {
	j.to, j.from, j.arrived, j.deadline = r.Responder, from, r.Arrived, r.Deadline
	if j.arrived.IsZero() {
		j.arrived = time.Now()
	}
	if j.deadline.IsZero() {
		j.deadline = j.arrived.Add(DefaultDeadline)
	}
	j.class = workers.Single
	if r.Batch {
		j.class = workers.Batch
	}
	j.began = j.e.now()
	j.refs.Store(1)
}

// stage records the time since the last stage began under s, and begins the next.
func (j *job) stage(s wire.Stage) {
	now := j.e.now()
	j.e.stats.Observe(s, time.Duration(now-j.began))
	j.began = now
}

// answer claims the one answer of the request. It returns false if the answer has been given.
func (j *job) answer() bool {
	if !j.answered.CompareAndSwap(false, true) {
		return false
	}
	if j.admitted {
		j.e.leave(j.waitBytes)
	}
	return true
}

// fail answers with an error, unless the request has been answered.
func (j *job) fail(c wire.Code, retryAfter time.Duration) {
	if !j.answer() {
		return
	}
	j.e.stats.failure(c)
	if j.reseal == nil || !j.tellReseal(c) {
		_ = j.to.Fail(c, retryAfter) // on an error the session has ended: nobody is left to tell
	}
	j.e.stats.Observe(wire.StageTotal, time.Since(j.arrived))
	j.e.ended()
}

// failWith answers with the code that an error carries.
func (j *job) failWith(err error) {
	var we *wire.Error
	if !errors.As(err, &we) {
		j.fail(wire.Internal, 0)
		return
	}
	j.fail(we.Code, time.Duration(we.RetryAfterMS)*time.Millisecond)
}

// codeOf is the code that an error carries.
func codeOf(err error) wire.Code {
	var we *wire.Error
	if errors.As(err, &we) {
		return we.Code
	}
	return wire.Internal
}

// drop says why nobody wants the answer any more. It returns OK if somebody still does.
func (j *job) drop() wire.Code {
	switch {
	case j.e.aborted.Load() || j.from.gone.Load():
		return wire.ShuttingDown
	case !time.Now().Before(j.deadline):
		return wire.DeadlineExceeded
	}
	return wire.OK
}

// guard is deferred by the job's owner. After a panic it answers internal. The job is wiped if this goroutine still
// owns it, and is not used again.
func (j *job) guard() {
	if recover() == nil {
		return
	}
	j.e.panicked()
	j.fail(wire.Internal, 0)
	if !j.handed.Load() {
		j.wipe()
	}
}

// release ends the owner's part. It wipes secrets, and puts the job back once the deadline's goroutine is done with
// it.
func (j *job) release() {
	j.wipe()
	j.unref()
}

// unref gives up one reference. The last unref puts the job back for another request.
func (j *job) unref() {
	if j.refs.Add(-1) > 0 {
		return
	}
	j.req.Reset()
	clear(j.fields)
	clear(j.vars)
	clear(j.exprs)
	clear(j.shares)
	e := j.e
	*j = job{
		e: e, req: j.req, fields: j.fields[:0], heads: j.heads[:0], shares: j.shares[:0],
		vars: j.vars[:0], exprs: j.exprs[:0], names: kept(j.names), plain: kept(j.plain), results: kept(j.results),
		spans: j.spans[:0], reads: j.reads[:0],
	}
	e.jobs.Put(j)
}

// wipe gives up the key and the place among evaluations. It wipes plaintexts and results.
func (j *job) wipe() {
	j.endEvaluation()
	if j.keyed {
		j.keyed = false
		j.key.Release()
		j.key = keys.Key{}
	}
	for i := range j.fields {
		secret.Wipe(j.fields[i].plain)
	}
	secret.Wipe(j.plain)
	secret.Wipe(j.results)
	j.leavePlace()
}

// kept empties a buffer for reuse, and drops a large one.
func kept(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}

// room returns an empty buffer of at least n bytes: b, which holds nothing, or a larger one.
func room(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, 0, max(n, 2*cap(b), 512))
	}
	return b[:0]
}
