// Package durations counts, for the statistics that parents ask the enclave for, how long things take.
//
// A duration is counted once. The buckets have the bounds of the wire's two kinds of histogram together. So both
// kinds, made of one snapshot, agree about the number of durations. Nothing here allocates or locks. A histogram is
// some 80 numbers, whatever it counts.
package durations

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// Slots is the number of buckets.
const Slots = len(wire.BucketBoundsUS) + len(wire.FineBoundsNS) + 1

// bounds are the bounds of both kinds in nanoseconds, in order. classic and fine are the bucket of each kind to which
// a slot belongs. Bounds that both kinds have take two slots, of which the second stays empty.
var bounds, classic, fine = layout()

func layout() (bounds [Slots - 1]uint64, classic, fine [Slots]int) {
	all := slices.Clone(wire.FineBoundsNS[:])
	for _, us := range wire.BucketBoundsUS {
		all = append(all, uint64(us)*1000)
	}
	slices.Sort(all)
	copy(bounds[:], all)
	for i, bound := range bounds {
		classic[i], _ = slices.BinarySearchFunc(wire.BucketBoundsUS[:], bound, func(us uint32, ns uint64) int {
			return cmp.Compare(uint64(us)*1000, ns)
		})
		fine[i], _ = slices.BinarySearch(wire.FineBoundsNS[:], bound)
	}
	classic[Slots-1], fine[Slots-1] = len(wire.BucketBoundsUS), len(wire.FineBoundsNS)
	return bounds, classic, fine
}

// Histogram counts durations. The zero value is ready; it is safe for concurrent use.
type Histogram struct {
	sum   atomic.Uint64 // ns
	slots [Slots]atomic.Uint64
}

// Observe counts d. A negative duration counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	ns := uint64(max(0, d))
	h.sum.Add(ns)
	h.slots[slot(ns)].Add(1)
}

// slot is the index of the first bound that is at least ns.
func slot(ns uint64) int {
	low, high := 0, len(bounds)
	for low < high {
		if middle := int(uint(low+high) >> 1); bounds[middle] < ns {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// Snapshot is the state of a histogram at some time.
type Snapshot struct {
	sum   uint64
	slots [Slots]uint64
}

// Snapshot returns the counts so far.
func (h *Histogram) Snapshot() (s Snapshot) {
	s.sum = h.sum.Load()
	for i := range s.slots {
		s.slots[i] = h.slots[i].Load()
	}
	return s
}

// Count is the number of durations.
func (s *Snapshot) Count() (n uint64) {
	for _, c := range s.slots {
		n += c
	}
	return n
}

// Sum is the sum of all durations.
func (s *Snapshot) Sum() time.Duration { return time.Duration(s.sum) }

// Add adds the stage's two histograms to m.
func (s *Snapshot) Add(m *wire.Stats, stage wire.Stage) {
	counts := m.AddHistogram(stage, s.sum/1000, wire.Buckets)
	for i, n := range s.slots {
		counts[classic[i]] += n
	}
	counts = m.AddHistogram(stage.Fine(), s.sum/1000, wire.FineBuckets)
	for i, n := range s.slots {
		counts[fine[i]] += n
	}
}
