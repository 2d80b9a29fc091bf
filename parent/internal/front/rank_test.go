package front

import (
	"testing"

	"redoubt/wire/kit/h1"
)

func TestAStrangersConnectionEndsFirstAndOneInWorkNever(t *testing.T) {
	for _, tc := range []struct {
		name                                 string
		busy, asked, known, serving, leaving bool
		rank                                 h1.Rank
	}{
		{name: "new or idle stranger", rank: h1.IdleStranger},
		{name: "stranger whose bytes were just read", asked: true, rank: h1.SendingStranger},
		{name: "stranger in the middle of a request", busy: true, rank: h1.SendingStranger},
		{name: "stranger's health check in work", busy: true, serving: true, rank: h1.Stays},
		{name: "known and idle", known: true, rank: h1.IdleCaller},
		{name: "known, bytes were just read", known: true, asked: true, rank: h1.Stays},
		{name: "known, sending", known: true, busy: true, rank: h1.Stays},
		{name: "known, in work", known: true, busy: true, serving: true, rank: h1.Stays},
		{name: "asked to end already", leaving: true, rank: h1.Stays},
		{name: "known and asked to end already", known: true, leaving: true, rank: h1.Stays},
	} {
		c := &conn{busy: tc.busy, asked: tc.asked}
		c.known.Store(tc.known)
		c.serving.Store(tc.serving)
		c.leaving.Store(tc.leaving)
		if got, _ := c.rank(); got != tc.rank {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.rank)
		}
		// The oldest of equals ends, and what ranks before them whatever its age.
		older := &conn{busy: tc.busy, asked: tc.asked}
		older.known.Store(tc.known)
		c.since.Store(2)
		older.since.Store(1)
		r := newRegistry(2, func(h1.Shed) {})
		r.conns[c], r.conns[older] = struct{}{}, struct{}{}
		before, _ := older.rank()
		v := r.victim()
		switch {
		case before == h1.Stays && tc.rank == h1.Stays:
			if v != nil {
				t.Errorf("%s: one that stays ends", tc.name)
			}
		case before <= tc.rank && v != older, before > tc.rank && v != c:
			t.Errorf("%s: the other one ends", tc.name)
		}
	}
}
