package audit

import (
	"time"

	"redoubt/api/internal/pksuid"
	"redoubt/api/internal/store"
)

// vaultPrefix is that of vault ids, which tell when a vault was made.
const vaultPrefix = "v"

// rollGrace is how long after the first entry with a MAC an earlier release may still have written beside it.
const rollGrace = 24 * time.Hour

// older are the entries of one vault that carry no MAC.
type older struct {
	id string
	// unkeyed are those whose chains have no key, as an earlier release wrote them, or as somebody does who can write the
	// store and hash. newest is the time of one of them, Unix microseconds.
	unkeyed int
	newest  int64
	// legacy are the times of those that have no chain, as the reference wrote them, or as somebody does who takes the
	// chain off one of ours.
	legacy []int64
}

// unchained notes an entry without a chain, unless it bears marks of one: then it is ours, altered.
func (v *vaultLog) unchained(e *store.Entry) {
	if e.Time == store.TimeAltered || e.Seq != 0 || len(e.Hash)+len(e.Prev)+len(e.Link)+len(e.Body) > 0 {
		v.add("", e.Seq, TextAltered)
		return
	}
	v.Legacy = append(v.Legacy, e.Time)
}

// madeAfter tells whether a vault, by its id, was not made before a time. The time inside an id, under which everything
// of a vault is kept, cannot be put back.
func madeAfter(id string, at time.Time) bool {
	age, ok := pksuid.Time(vaultPrefix, id)
	return ok && !age.Before(at)
}

// judgeOlder compares what carries no MAC with the time from which on everything does, and what has no chain with the
// cut-over. The time of an entry without a MAC can be put back, so a late one without a chain is counted and no
// problem.
func (r *Report) judgeOlder() {
	if r.KeyedSince.IsZero() && r.first != 0 {
		r.KeyedSince = time.UnixMicro(r.first).UTC().Add(rollGrace)
	}
	if r.Cutover.IsZero() {
		r.Cutover = r.made
	}
	if r.Cutover.IsZero() {
		r.Cutover = r.KeyedSince // no vault was made here
	}
	for _, o := range r.older {
		late := o.newest >= r.KeyedSince.UnixMicro() || madeAfter(o.id, r.KeyedSince)
		if !r.KeyedSince.IsZero() && o.unkeyed > 0 && late {
			r.add(Problem{VaultID: o.id, Text: TextUnkeyed})
		}
		if r.Cutover.IsZero() {
			continue // nothing was made here
		}
		if len(o.legacy) > 0 && madeAfter(o.id, r.Cutover) {
			r.add(Problem{VaultID: o.id, Text: TextUnchained})
		}
		for _, at := range o.legacy {
			if at >= r.Cutover.UnixMicro() {
				r.Late++
			}
		}
	}
}
