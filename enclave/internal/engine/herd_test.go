package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// herd asks for one cold record from many callers at once, and returns how many were answered and how many refused.
func (w *world) herd(q *wire.DecryptRequest, callers int, change ...func(*session.Call)) (good, refused int64) {
	var n, no atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			switch _, code := w.do(q, change...); code {
			case wire.OK:
				n.Add(1)
			case wire.Overloaded:
				no.Add(1)
			default:
				w.tb.Errorf("answer %v", code)
			}
		})
	}
	wg.Wait()
	return n.Load(), no.Load()
}

// coldRecord is a request for a record of ten fields that nobody has read.
func (w *world) coldRecord(id string, e sealed.Encoding) *wire.DecryptRequest {
	v := w.vault(id, sealed.P384, true)
	fields, names := map[string]string{}, []string{}
	for i := range 10 {
		names = append(names, fmt.Sprint("f_", i))
		fields[names[i]] = "value"
	}
	return v.request(e, w.seal(v, e, fields), names...)
}

// gather holds KMS until n requests wait for the key, so that they all reach the workers at once.
func (w *world) gather(n int) {
	gate := make(chan struct{})
	w.kms.set(func(f *fakeKMS) { f.gate = gate })
	go func() {
		eventually(w.tb, "the herd", func() bool { _, waiting := w.engine.InFlight(); return waiting == n })
		close(gate)
	}()
}

// herdWorld is a world with the enclave's own bounds of waiting.
func herdWorld(t *testing.T, n int) *world {
	return newWorld(t, options{workers: workers.Config{
		Workers: n, Target: [2]time.Duration{250 * time.Millisecond, 10 * time.Second},
	}})
}

// SECURITY.md, check 45: a herd on one cold record costs one derivation for each of its contexts, and no refusal.
func TestAHerdOnOneColdRecordSharesItsDerivations(t *testing.T) {
	const callers = 128
	for _, tc := range []struct {
		encoding sealed.Encoding
		workers  int
		want     uint64
	}{{2, 2, 10}, {2, 16, 10}, {3, 2, 1}, {3, 16, 1}} {
		w := herdWorld(t, tc.workers)
		q := w.coldRecord("v_1", tc.encoding)
		w.gather(callers)
		began := time.Now()
		good, refused := w.herd(q, callers)
		if got := w.cache.Stats().Derivations; good != callers || refused != 0 || got != tc.want {
			t.Errorf("encoding %d, %d workers: %d answered, %d refused, %d derivations, want %d",
				tc.encoding, tc.workers, good, refused, got, tc.want)
		}
		t.Logf("encoding %d, %d workers: %v", tc.encoding, tc.workers, time.Since(began))
		settled(t, w)
	}
}

// occupy keeps all workers busy until release is called, or the test ends.
func (w *world) occupy() (release func()) {
	hold := make(chan struct{})
	var busy, wg sync.WaitGroup
	for range w.pool.Workers() {
		busy.Add(1)
		wg.Go(func() {
			w.pool.Do(workers.Single, KindParse, func() {
				busy.Done()
				<-hold
			})
		})
	}
	busy.Wait()
	release = sync.OnceFunc(func() { close(hold); wg.Wait() })
	w.tb.Cleanup(release)
	return release
}

// A herd on a record that does not open fails alike, and costs no more.
func TestAHerdOnADamagedRecordFailsAtTheCostOfOne(t *testing.T) {
	const callers = 128
	w := herdWorld(t, 2)
	q := w.coldRecord("v_1", 2)
	if _, code := w.do(q); code != wire.OK {
		t.Fatal(code)
	}
	w.cache.PurgeAll()
	key, err := w.cache.Get(context.Background(), &keys.Request{
		Suite: sealed.P384, KeyContext: true, KeyARN: keyARN, VaultID: q.VaultID, Wrapped: q.WrappedKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	key.Release() // the key is cached, none of the record's contexts is
	had := w.cache.Stats().Derivations
	for i := range q.Fields {
		q.Fields[i].Blob[len(q.Fields[i].Blob)-1] ^= 1
	}
	release := w.occupy()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, code := w.do(q); code != wire.DecryptFailed {
				t.Errorf("answer %v", code)
			}
		})
	}
	eventually(t, "the herd", func() bool { _, n := w.engine.InFlight(); return n == callers })
	release()
	wg.Wait()
	if n := w.cache.Stats().Derivations - had; n != 10 {
		t.Errorf("%d derivations", n)
	}
	settled(t, w)
	if _, code := w.do(q); code != wire.DecryptFailed || w.cache.Stats().Derivations-had != 20 {
		t.Errorf("a failure was kept: %v, %d derivations", code, w.cache.Stats().Derivations-had)
	}
}

// Requests whose session ends, or whose time is over, while they are those who would derive fail none of the others.
func TestTheFirstOfAHerdMayLeave(t *testing.T) {
	w := herdWorld(t, 2)
	q := w.coldRecord("v_1", 2)
	gone := &handler{engine: w.engine}
	client, server := w.connect(gone, session.ClientConfig{})
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	gate := make(chan struct{})
	w.kms.set(func(f *fakeKMS) { f.gate = gate })
	var wg sync.WaitGroup
	for range 8 { // these come first
		wg.Go(func() {
			if _, code := do(t, client, q); code != wire.ShuttingDown && code != wire.OK {
				t.Errorf("answer %v", code)
			}
		})
	}
	eventually(t, "the first to wait", func() bool { _, n := w.engine.InFlight(); return n == 8 })
	for range 64 {
		wg.Go(func() {
			if _, code := w.do(q); code != wire.OK {
				t.Errorf("one that stayed: %v", code)
			}
		})
	}
	eventually(t, "the rest to wait", func() bool { _, n := w.engine.InFlight(); return n == 72 })
	gone.origin.End()
	close(gate)
	wg.Wait()
	if n := w.cache.Stats().Derivations; n != 10 {
		t.Errorf("%d derivations", n)
	}
	settled(t, w)
}

// Each sealed reply has an encapsulation of its own, which is charged.
func TestAHerdWithReplyKeysIsChargedForItsReplies(t *testing.T) {
	w := herdWorld(t, 2)
	v := w.vault("v_1", sealed.P384, true)
	q := v.request(2, w.seal(v, 2, map[string]string{"a": "1", "b": "2"}), "a", "b")
	q.ReplySuite, q.ReplyKey = uint8(sealed.P384), v.spki
	w.gather(128)
	good, refused := w.herd(q, 128)
	if n := w.cache.Stats().Derivations; n != 2 || good+refused != 128 || good < 64 {
		t.Errorf("%d derivations, %d answered, %d refused", n, good, refused)
	}
	if c := w.pool.Cost(openKind(sealed.P384, true)); c < 50*time.Microsecond {
		t.Errorf("a unit with its reply is estimated at %v", c)
	}
}

// Distinct records are worked on, charged and refused as ever.
func TestDistinctRecordsShareNothing(t *testing.T) {
	w := herdWorld(t, 2)
	v := w.vault("v_1", sealed.P384, true)
	for i := range 20 {
		q := v.request(2, w.seal(v, 2, map[string]string{"a": fmt.Sprint(i)}), "a")
		m, code := w.do(q)
		want(t, q, m, code, fmt.Sprint("a=", i))
	}
	if n := w.cache.Stats().Derivations; n != 20 {
		t.Errorf("%d derivations", n)
	}
	settled(t, w)
}
