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

// unkeyed are the entries of one vault whose chains have no key, as an earlier release wrote them, or as somebody does who
// can write the store and hash.
type unkeyed struct {
	id     string
	age    time.Time // of the vault, by its id; zero if that tells none
	count  int
	newest int64 // Unix microseconds
}

func (u *unkeyed) add(e *store.Entry) {
	u.count++
	u.newest = max(u.newest, e.Time)
}

// rollGrace is how long after the first entry with a MAC an earlier release may still have written beside it.
const rollGrace = 24 * time.Hour

// judgeUnkeyed finds entries without a MAC from a time when no release without keys wrote any more.
func (r *Report) judgeUnkeyed() {
	if r.KeyedSince.IsZero() && r.first != 0 {
		r.KeyedSince = time.UnixMicro(r.first).UTC().Add(rollGrace)
	}
	if r.KeyedSince.IsZero() {
		return // no release with keys has written
	}
	for _, u := range r.unkeyed {
		if u.newest >= r.KeyedSince.UnixMicro() || !u.age.IsZero() && !u.age.Before(r.KeyedSince) {
			r.add(Problem{VaultID: u.id, Text: TextUnkeyed})
		}
	}
}

// judgeLegacy compares what has no chain with the cut-over: the time inside an id, under which everything of a vault is
// kept, cannot be put back; the time of such an entry can, so a late one is counted and no problem.
func (r *Report) judgeLegacy() {
	if r.Cutover.IsZero() {
		r.Cutover = r.KeyedSince // the reference writes no more, or no vault was made here
	}
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
