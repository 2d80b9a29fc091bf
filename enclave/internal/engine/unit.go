package engine

import (
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
)

// share claims the context of each unit. It returns how many of these contexts other requests in the queue will
// derive. Sealing the reply is part of a unit's cost, and no other request does it.
func (j *job) share() (spared int) {
	j.shares = j.shares[:0]
	for _, h := range j.heads {
		s, first := j.key.Share(j.fields[h].blob.Enc, int(j.class))
		j.shares = append(j.shares, s)
		if !first {
			spared++
		}
	}
	if j.reply != nil {
		spared = max(0, min(spared, len(j.heads)-1))
	}
	return spared
}

// Unit implements [workers.Job]. If the answer is still wanted, it opens the fields of one encapsulated key, compiles
// an expression, or evaluates a slice.
func (j *job) Unit(i int) workers.Outcome {
	if j.started.CompareAndSwap(false, true) {
		j.stage(wire.StageQueue)
	}
	if j.drop() != wire.OK {
		j.late.Store(true)
	}
	late, opens := j.late.Load(), j.phase == opening && i < len(j.heads)
	switch {
	case late && opens:
		j.shares[i].Release()
		return workers.Spared
	case late:
		return workers.Spared
	case opens:
		return j.openUnit(i)
	case j.phase == compiling:
		j.e.cfg.Expressions.Compile(j.exprs, i)
	case j.phase == evaluating:
		j.slice()
	case j.phase == resealed:
		j.resealFields()
	}
	return workers.Worked
}

// openUnit opens the fields of unit i. If another request is deriving their context at this moment, the unit parks.
// Then this function must not touch the job again: the job may be done before the function returns.
func (j *job) openUnit(i int) workers.Outcome {
	share, head := j.shares[i], j.heads[i]
	parked := false
	defer func() {
		if !parked {
			share.Release()
		}
	}()
	o, wait := share.Begin(j.fields[head].blob.Enc, &turn{j, i})
	if parked = wait; parked {
		return workers.Parked
	}
	defer o.End()
	for k := head; k >= 0; k = j.fields[k].next {
		f := &j.fields[k]
		plain, err := o.Open(f.room, f.name, f.blob)
		j.openedField(f, plain, err)
	}
	if !o.Derived() {
		return workers.Spared
	}
	return workers.Worked
}

// turn is a parked unit.
type turn struct {
	j *job
	i int
}

// ContextReady implements [keys.Parked].
func (t *turn) ContextReady() { t.j.e.cfg.Workers.Resume(&t.j.Task, t.i) }
