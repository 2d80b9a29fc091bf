package engine

import (
	"strings"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// TestEvaluationsInTheMakingAreBounded: many requests at once have expressions that take several slices each, and make
// long results. All are answered as they should be, and at no time do they hold more than the places there are, beside
// what waiting requests are charged for.
func TestEvaluationsInTheMakingAreBounded(t *testing.T) {
	const n = 100
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, map[string]string{
		"a": "1",
	}), "a")
	for _, name := range []string{"p", "q", "r", "s", "t", "u", "v"} { // some 250 KiB each, and 7 KiB of results
		q.AddExpression([]byte(name), []byte("["+strings.Repeat("a, ", 800)+"a].map(x, [[[x]]])"))
	}
	m, code := w.do(q)
	if code != wire.OK || len(m.Results) != 7 {
		t.Fatal(code, m)
	}
	heap := liveHeap()
	release := w.occupy()
	done := make(chan *session.Call, n)
	for range n {
		c := w.client.NewCall()
		c.Body = q.Append(c.Body)
		c.Deadline = time.Now().Add(time.Minute)
		if err := w.client.Start(c, done); err != nil {
			t.Fatal(err)
		}
	}
	w.queued(n)
	waiting := liveHeap() - heap
	release()
	most := int64(0)
	for answered := 0; answered < n; {
		select {
		case c := <-done:
			if c.Err() != nil {
				t.Fatal(c.Err())
			}
			c.Release()
			answered++
		default:
			most = max(most, liveHeap()-heap-waiting)
		}
	}
	t.Logf("%d KiB of heap wait, and %d KiB are work in hand", waiting>>10, most>>10)
	if bound := int64(MaxBegun+4)*EvaluationCost + 4<<20; most > bound {
		t.Errorf("%d KiB of work in hand, for a bound of %d KiB", most>>10, bound>>10)
	}
	settled(t, w)
	eventually(t, "places to be free", func() bool {
		b := &w.engine.begun
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.taken == 0 && len(b.waiting) == 0
	})
}
