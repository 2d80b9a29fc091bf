package audit

import (
	"context"
	"math"
	"time"

	"redoubt/api/internal/store"
)

// books compare what writers counted in their checkpoints with what is there.
type books struct {
	keys    *keyring
	tallies map[string][]*tally // by writer: from the store at the beginning, and from outside
	listed  map[string]bool     // writers and MACs of entries of unknown outcome
	bad     []Problem
	until   int64 // unless 0: what later tallies count was not all read, Unix microseconds
}

func newBooks(keys *keyring) *books {
	return &books{keys: keys, tallies: map[string][]*tally{}, listed: map[string]bool{}}
}

// add takes a checkpoint in, or notes that its writer did not make it. The error is [ErrKeys].
func (b *books) add(ctx context.Context, c *store.Checkpoint) (*tally, error) {
	if !writerRE.MatchString(c.Writer) {
		b.bad = append(b.bad, Problem{Chain: keyedPrefix + c.Writer, Text: TextTally})
		return nil, nil
	}
	k, err := b.keys.of(ctx, c.Writer)
	if err != nil {
		return nil, err
	}
	t, err := k.read(c)
	if err != nil {
		b.bad = append(b.bad, Problem{Chain: keyedPrefix + c.Writer, Seq: c.Number, Text: TextTally})
		return nil, nil //nolint:nilerr // it is a finding, and the other checkpoints are read
	}
	b.tallies[t.Writer] = append(b.tallies[t.Writer], t)
	for _, mac := range t.Unknown {
		b.listed[t.Writer+string(mac)] = true
	}
	return t, nil
}

// unknown reports whether the writer does not know that it stored an entry.
func (b *books) unknown(writer string, mac []byte) bool {
	return len(mac) >= unknownSize && b.listed[writer+string(mac[:unknownSize])]
}

// balance compares the tallies with what was found.
func (b *books) balance(r *Report) {
	r.add(b.bad...)
	for writer, all := range b.tallies {
		for _, t := range all {
			if b.until != 0 && t.Time > b.until {
				continue
			}
			found := uint64(0)
			for epoch, s := range r.written[writer] {
				if epoch != 0 && epoch <= t.Through {
					found += s.Entries
				}
			}
			name := keyedPrefix + writer
			switch {
			case found < t.Entries:
				r.add(Problem{Chain: name, Seq: t.Through, Text: TextShort})
			case found > t.Entries+t.Unlisted:
				r.add(Problem{Chain: name, Seq: t.Through, Text: TextMore})
			}
			if t.Began != 0 && (r.first == 0 || t.Began < r.first) {
				r.first = t.Began
			}
		}
	}
}

// close compares the store's checkpoints, read after all entries, with the entries and with the earlier checkpoints.
// An entry of a writer's epoch shows that there was a checkpoint of the epoch before the last.
func (b *books) close(r *Report, now map[string]*tally) {
	proven := int64(math.MaxInt64)
	for writer, epochs := range r.written {
		newest := uint64(0)
		for epoch := range epochs {
			newest = max(newest, epoch)
		}
		through := uint64(0)
		if t := now[writer]; t != nil {
			through = t.Through
		}
		switch {
		case newest == 0: // a build from before checkpoints
		case now[writer] == nil:
			r.add(Problem{Chain: keyedPrefix + writer, Text: TextNoTally})
		case newest > through+2:
			r.add(Problem{Chain: keyedPrefix + writer, Seq: through, Text: TextOldTally})
		}
		for epoch, s := range epochs {
			r.Keyed += int(s.Entries)
			if epoch != 0 && epoch <= through {
				r.Checkpointed += int(s.Entries)
			} else {
				proven = min(proven, s.Oldest)
			}
		}
	}
	for writer, all := range b.tallies {
		for _, t := range all {
			if now[writer] == nil || now[writer].Through < t.Through {
				r.add(Problem{Chain: keyedPrefix + writer, Seq: t.Through, Text: TextOldTally})
			}
		}
	}
	if r.first != 0 {
		r.ProvenFrom = time.UnixMicro(r.first).UTC()
	}
	if proven != math.MaxInt64 {
		r.ProvenTo = time.UnixMicro(proven).UTC()
	}
}
