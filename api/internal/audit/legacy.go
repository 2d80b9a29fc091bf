package audit

import (
	"time"

	"redoubt/api/internal/store"
)

// vaultPrefix is that of vault ids, which tell when a vault was made.
const vaultPrefix = "v"

// legacy are the entries of one vault that have no chain, as the reference wrote them, or as somebody does who takes
// the chain off one of ours.
type legacy struct {
	id    string
	age   time.Time // of the vault, by its id; zero if that tells none
	times []int64   // of the entries, Unix microseconds
}

// unchained counts an entry without a chain, unless it bears marks of one: then it is ours, altered.
func (v *vaultLog) unchained(e *store.Entry) {
	if e.Time == store.TimeAltered || e.Seq != 0 || len(e.Hash)+len(e.Prev)+len(e.Link)+len(e.Body) > 0 {
		v.add("", e.Seq, TextAltered)
		return
	}
	v.legacy.times = append(v.legacy.times, e.Time)
}

// judgeLegacy compares what has no chain with the cut-over: the time inside an id, under which everything of a vault is
// kept, cannot be put back; the time of such an entry can, so a late one is counted and no problem.
func (r *Report) judgeLegacy() {
	if r.Cutover.IsZero() {
		return // nothing was made here
	}
	for _, l := range r.legacy {
		if !l.age.IsZero() && !l.age.Before(r.Cutover) {
			r.add(Problem{VaultID: l.id, Text: TextUnchained})
		}
		for _, at := range l.times {
			if at >= r.Cutover.UnixMicro() {
				r.Late++
			}
		}
	}
}
