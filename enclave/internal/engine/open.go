package engine

import (
	"bytes"
	"errors"
	"time"
	"unicode/utf8"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/session"
)

// run takes a fresh request as far as the lane's reader can.
func (j *job) run(r *session.Request) {
	code := j.parse(r.Body)
	if code == wire.OK && j.reseal != nil {
		code = j.parseReseal()
	}
	if code != wire.OK {
		j.fail(code, 0)
		j.release()
		return
	}
	key, ok := j.e.cfg.Keys.Lookup(&j.keyReq)
	if j.keyReq.Domain != nil {
		var err error
		if key, err = j.e.cfg.Keys.Vault(&j.keyReq); err != nil {
			j.failWith(err)
			j.release()
			return
		}
		ok = true
	}
	if ok {
		j.key, j.keyed = key, true
		j.stage(wire.StageKey)
		j.openCached()
		j.stage(wire.StageOpen)
		if j.cold == 0 && j.reply == nil && j.inline() {
			j.finish()
			j.release()
			return
		}
	}
	j.leave(r)
}

// openCached opens the fields whose context is cached, up to the length that a reader may open.
func (j *job) openCached() {
	left := inlineBytes
	r := j.key.Reader()
	defer r.End()
	var missed []byte // so that an encapsulated key shared by the fields of a record is asked for once
	for i := range j.fields {
		f := &j.fields[i]
		if f.state != pending || (missed != nil && bytes.Equal(missed, f.blob.Enc)) {
			continue
		}
		if left -= len(f.blob.CT); left < 0 {
			return
		}
		plain, ok, err := r.Open(f.room, f.name, f.blob)
		if !ok {
			missed = f.blob.Enc
			continue
		}
		j.cold--
		j.openedField(f, plain, err)
	}
}

// openedField records the outcome of opening a field. A value that is not UTF-8 counts as one that cannot be opened,
// except for a reseal, which carries bytes.
func (j *job) openedField(f *field, plain []byte, err error) {
	f.plain = plain
	if err != nil || !utf8.Valid(plain) && j.reseal == nil {
		secret.Wipe(plain)
		f.plain = nil
		j.failField(f)
		return
	}
	f.state = opened
	if j.reply == nil {
		j.e.stats.Count(wire.StatFieldsOpened)
	}
}

func (j *job) failField(f *field) {
	f.state = failed
	if j.reply == nil { // the parent reads the counters: they would show what the sealed answer hides
		j.e.stats.Count(wire.StatFieldsFailed)
	}
}

// leave takes the request off the reader: into the queue of the workers, or first into the wait for its key.
func (j *job) leave(r *session.Request) {
	j.lighten()
	j.admitted, j.waitBytes = true, j.held(r)
	if !j.e.admit(j.waitBytes) {
		j.overloaded()
		return
	}
	if old := r.Body; len(old) == 0 || &old[0] != &r.Own()[0] {
		j.rebind(r.Body)
	}
	if j.keyed {
		j.queue()
		return
	}
	j.await()
}

func (j *job) overloaded() {
	j.fail(wire.Overloaded, max(retryOverloaded, j.e.cfg.Workers.Wait(j.class)))
	j.release()
}

// await asks for the key. Then KeyReady continues the request, or expire ends it if the deadline comes first.
func (j *job) await() {
	w := &wait{}
	j.wait = w
	j.refs.Add(1) // for this goroutine; it passes to the timer
	j.handed.Store(true)
	place := j.e.cfg.Keys.Fetch(&j.keyReq, j)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready {
		j.unref()
		return
	}
	w.place = place
	w.timer = time.AfterFunc(time.Until(j.deadline), j.expire)
}

// expire runs at the deadline of a request that waits for its key.
func (j *job) expire() {
	if j.wait.place.Cancel() { // KeyReady will not come: this goroutine owns the request
		j.handed.Store(false)
		defer j.guard()
		j.fail(wire.DeadlineExceeded, 0)
		j.release()
	}
	j.unref()
}

// KeyReady implements [keys.Waiter].
func (j *job) KeyReady(k keys.Key, err error) {
	j.handed.Store(false)
	defer j.guard()
	w := j.wait
	w.mu.Lock()
	w.ready = true
	stopped := w.timer != nil && w.timer.Stop()
	w.mu.Unlock()
	if stopped {
		j.unref()
	}
	j.stage(wire.StageKey)
	if err != nil {
		j.failWith(err)
		j.release()
		return
	}
	j.key, j.keyed = k, true
	j.queue()
}

// queue hands the request to the workers, one unit for each key agreement that is left.
func (j *job) queue() {
	left := time.Until(j.deadline)
	if code := j.drop(); code != wire.OK {
		j.fail(code, 0)
		j.release()
		return
	}
	kind := kindEvaluate
	if j.group() > 0 || j.reply != nil {
		kind = openKind(j.keyReq.Suite, j.reply != nil)
	}
	if len(j.heads) == 0 && j.plan != nil { // the reader has looked at the expressions: they are not quick
		j.phase = evaluating
	}
	spared := j.share()
	j.handed.Store(true)
	err := j.e.cfg.Workers.SubmitShared(&j.Task, j, j.class, kind, max(1, len(j.heads)), spared, left)
	if err == nil {
		return
	}
	j.handed.Store(false)
	for _, s := range j.shares {
		s.Release()
	}
	if errors.Is(err, workers.ErrClosed) {
		j.fail(wire.ShuttingDown, retryOverloaded)
		j.release()
		return
	}
	j.overloaded()
}

// group makes one unit of the fields that share an encapsulated key. It returns the number of units.
func (j *job) group() int {
	j.heads = j.heads[:0]
	for i := range j.fields {
		f := &j.fields[i]
		if f.state != pending {
			continue
		}
		f.next = -1
		shared := f.blob.Encoding == sealed.EncodingRecord || f.blob.Encoding == sealed.EncodingRef
		if !shared || !j.join(i) {
			j.heads = append(j.heads, int16(i))
		}
	}
	return len(j.heads)
}

// join puts field i into the unit of its encapsulated key, if there is one.
func (j *job) join(i int) bool {
	f := &j.fields[i]
	for _, h := range j.heads {
		head := &j.fields[h]
		if bytes.Equal(head.blob.Enc, f.blob.Enc) {
			f.next, head.next = head.next, int16(i)
			return true
		}
	}
	return false
}

// Done implements [workers.Job]: after the last unit it queues the work that is left, or ends the request.
func (j *job) Done() {
	j.handed.Store(false)
	defer j.guard()
	if j.phase == opening {
		j.stage(wire.StageOpen)
	}
	switch {
	case j.panicked.Load():
		j.fail(wire.Internal, 0)
	case j.late.Load():
		j.fail(j.drop(), 0)
	case j.goOn():
		return
	default:
		j.finish()
	}
	j.release()
}

// Panicked implements [workers.Job].
func (j *job) Panicked() {
	j.panicked.Store(true)
	j.e.panicked()
}
