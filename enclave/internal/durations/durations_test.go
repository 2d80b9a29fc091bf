package durations

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redoubt/wire"
)

// histograms are the two kinds of one snapshot.
func histograms(t require, h *Histogram) (classic, fine wire.Histogram) {
	var m wire.Stats
	s := h.Snapshot()
	s.Add(&m, wire.StageOpen)
	if err := m.Validate(); err != nil || len(m.Histograms) != 2 || m.Histograms[0].Stage != wire.StageOpen ||
		m.Histograms[1].Stage != wire.StageOpen.Fine() {
		t.Fatalf("%+v, %v", m.Histograms, err)
	}
	return m.Histograms[0], m.Histograms[1]
}

type require interface{ Fatalf(string, ...any) }

func TestADurationIsInTheBucketOfEachKindThatHoldsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.OneOf(
			rapid.Uint64Range(0, 200e9), rapid.SampledFrom(wire.FineBoundsNS[:]),
			rapid.Map(rapid.SampledFrom(wire.BucketBoundsUS[:]), func(us uint32) uint64 { return uint64(us) * 1000 }),
		).Draw(t, "ns") + rapid.Uint64Range(0, 1).Draw(t, "more")
		var h Histogram
		h.Observe(time.Duration(ns))
		classic, fine := histograms(t, &h)
		holds := func(counts []uint64, bound func(int) uint64) {
			for i, n := range counts {
				within := (i == len(counts)-1 || ns <= bound(i)) && (i == 0 || ns > bound(i-1))
				if (n == 1) != within {
					t.Fatalf("%d ns: %d in bucket %d of %d", ns, n, i, len(counts))
				}
			}
		}
		holds(classic.Counts, func(i int) uint64 { return uint64(wire.BucketBoundsUS[i]) * 1000 })
		holds(fine.Counts, func(i int) uint64 { return wire.FineBoundsNS[i] })
		if classic.SumUS != ns/1000 || fine.SumUS != ns/1000 {
			t.Fatalf("sums %d, %d", classic.SumUS, fine.SumUS)
		}
	})
}

func TestBothKindsAgreeWhileItCounts(t *testing.T) {
	var h Histogram
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 2000 {
				h.Observe(time.Duration(n*n*(i+1)) * time.Microsecond)
			}
		})
	}
	for range 100 {
		classic, fine := histograms(t, &h)
		if a, b := total(classic), total(fine); a != b {
			t.Fatalf("%d and %d", a, b)
		}
	}
	wg.Wait()
	classic, _ := histograms(t, &h)
	s := h.Snapshot()
	if total(classic) != 8000 || s.Count() != 8000 {
		t.Errorf("%d, %d", total(classic), s.Count())
	}
}

func total(h wire.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	h.Observe(-time.Second) // a clock that went back
	if s := h.Snapshot(); s.Sum() < 100*time.Millisecond {
		t.Errorf("sum %v", s.Sum())
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Observe(time.Duration(i%4_000_000) * 7)
	}
}
