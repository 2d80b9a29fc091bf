package audit

import (
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// vaultPrefix begins vault ids, which tell when a vault was made.
const vaultPrefix = "v"

// rollGrace is how long after the first entry with a MAC a process of an earlier release may still have written
// beside it.
const rollGrace = 24 * time.Hour

// older counts the entries of one vault that carry no MAC.
type older struct {
	id string
	// unkeyed counts entries whose chains have no key. An earlier release wrote them, or an attacker who can write to
	// the store and compute a hash. newest is the time of one of them, Unix microseconds.
	unkeyed int
	newest  int64
	// legacy has the times of entries that have no chain. The reference wrote them, or an attacker took the chain off
	// an entry of ours.
	legacy []int64
}

// unchained notes an entry without a chain. If the entry bears marks of a chain, it is one of ours that was altered.
func (v *vaultLog) unchained(e *store.Entry) {
	if e.Time == store.TimeAltered || e.Seq != 0 || len(e.Hash)+len(e.Prev)+len(e.Link)+len(e.Body) > 0 {
		v.add("", e.Seq, TextAltered)
		return
	}
	v.Legacy = append(v.Legacy, e.Time)
}

// madeAfter reports whether a vault, by its id, was made at or after a time. Everything of a vault is kept under its
// id, so the time inside it cannot be put back.
func madeAfter(id string, at time.Time) bool {
	age, ok := pksuid.Time(vaultPrefix, id)
	return ok && !age.Before(at)
}

// judgeOlder compares entries without a MAC with the time from which on every entry has one, and entries without a
// chain with the cut-over. The time of an entry without a MAC can be put back. So a late entry without a chain is
// counted, and is not a problem.
func (r *Report) judgeOlder() {
	if r.KeyedSince.IsZero() && r.first != 0 {
		r.KeyedSince = time.UnixMicro(r.first).UTC().Add(rollGrace)
	}
	if r.Cutover.IsZero() {
		r.Cutover = r.made
	}
	if r.Cutover.IsZero() {
		r.Cutover = r.KeyedSince // no vault was made by Redoubt
	}
	for _, o := range r.older {
		late := o.newest >= r.KeyedSince.UnixMicro() || madeAfter(o.id, r.KeyedSince)
		if !r.KeyedSince.IsZero() && o.unkeyed > 0 && late {
			r.add(Problem{VaultID: o.id, Text: TextUnkeyed})
		}
		if r.Cutover.IsZero() {
			continue // no entry was made by Redoubt
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
