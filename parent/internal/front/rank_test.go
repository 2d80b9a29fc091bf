package front

import (
	"testing"

	"redoubt/wire/kit/h1"
)

func TestAStrangersConnectionEndsFirstAndOneInWorkNever(t *testing.T) {
	for _, tc := range []struct {
		name                                 string
		busy, asked, known, serving, leaving bool
		rank                                 int
	}{
		{name: "new or idle stranger", rank: 1},
		{name: "stranger whose bytes were just read", asked: true, rank: 2},
		{name: "stranger in the middle of a request", busy: true, rank: 2},
		{name: "stranger's health check in work", busy: true, serving: true},
		{name: "known and idle", known: true, rank: 3},
		{name: "known, bytes were just read", known: true, asked: true},
		{name: "known, sending", known: true, busy: true},
		{name: "known, in work", known: true, busy: true, serving: true},
		{name: "asked to end already", leaving: true},
		{name: "known and asked to end already", known: true, leaving: true},
	} {
		c := &conn{busy: tc.busy, asked: tc.asked}
		c.known.Store(tc.known)
		c.serving.Store(tc.serving)
		c.leaving.Store(tc.leaving)
		if got := c.rank(); got != tc.rank {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.rank)
		}
		// The oldest of equals ends, and what ranks before them whatever its age.
		older := &conn{busy: tc.busy, asked: tc.asked}
		older.known.Store(tc.known)
		c.since.Store(2)
		older.since.Store(1)
		r := newRegistry(2, func(h1.Shed) {})
		r.conns[c], r.conns[older] = struct{}{}, struct{}{}
		if v := r.victim(); older.rank() > 0 && tc.rank > 0 && v != nil && v != older {
			t.Errorf("%s: the newer one ends", tc.name)
		}
	}
}
