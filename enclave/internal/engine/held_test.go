package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// TestWaitingRequestsHoldNoMoreThanTheirBound fills the queue with requests of each size: the heap grows by no more
// than the bound, however badly a size fits its buffer, and however much earlier requests left in the pools.
func TestWaitingRequestsHoldNoMoreThanTheirBound(t *testing.T) {
	const (
		bound = 64 << 20
		slack = 6 << 20 // of the session: queues of both ends, slots of the calls
	)
	for _, size := range []int{100, 4 << 10, 33 << 10, 65 << 10, 257 << 10} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			w := newWorld(t, options{change: func(c *Config) { c.MaxWaitingBytes = bound }})
			v := w.vault("v_0", sealed.P256, true)
			long := v.request(3, w.seal(v, 3, map[string]string{"f": strings.Repeat("x", 60<<10)}), "f")
			if _, code := w.do(long); code != wire.OK { // leaves large buffers behind
				t.Fatal(code)
			}
			gate := make(chan struct{})
			w.kms.set(func(f *fakeKMS) { f.gate = gate })
			q := v.request(3, w.seal(v, 3, map[string]string{"f": strings.Repeat("x", size)}), "f")
			heap := liveHeap()
			waiting := w.fill(q, 2033)
			grown := liveHeap() - heap
			t.Logf("%d of 2033 wait: %d KiB of heap", waiting, grown>>10)
			if grown > bound+slack {
				t.Errorf("%d requests that wait hold %d KiB", waiting, grown>>10)
			}
			close(gate)
			settled(t, w)
		})
	}
}

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools kept
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fill starts n requests that differ in their keys, each with the one body, and returns how many were not refused.
func (w *world) fill(q *wire.DecryptRequest, n int) (waiting int) {
	done := make(chan *session.Call, n)
	for i := range n {
		q.WrappedKey = fmt.Appendf(nil, "wrapped v_%d", i/500) // one key may have a quarter of those who wait
		q.VaultID = fmt.Appendf(nil, "v_x%d", i/500)
		c := w.client.NewCall() // not released: it would keep its body beside the queue's
		c.Body = q.Append(nil)
		c.Deadline = time.Now().Add(2 * time.Minute)
		for err := w.client.Start(c, done); err != nil; err = w.client.Start(c, done) {
			if !errors.Is(err, session.ErrQueueFull) {
				w.tb.Fatal(err)
			}
			runtime.Gosched()
		}
		c.Body = nil
	}
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if _, waiting = w.engine.InFlight(); waiting+len(done) == n || time.Now().After(end) {
			return waiting
		}
	}
}
