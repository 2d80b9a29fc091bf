package metrics

import (
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"redoubt/wire"
)

// stageOf gathers the histogram of the stage open of an enclave that sends what fill adds.
func stageOf(t *testing.T, fill func(*wire.Stats)) *dto.Histogram {
	t.Helper()
	m := New("v1")
	m.AddEnclaves(enclaves{fill})
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "redoubt_enclave_stage_duration_seconds" {
			continue
		}
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if l.GetValue() == "open" {
					return x.GetHistogram()
				}
			}
		}
	}
	t.Fatal("no histogram")
	return nil
}

// observed adds both histograms of durations, as an enclave does.
func observed(s *wire.Stats, durations ...time.Duration) {
	count := func(stage wire.Stage, buckets int, within func(i int, d time.Duration) bool) {
		counts := s.AddHistogram(stage, 0, buckets)
		for _, d := range durations {
			i := 0
			for i < buckets-1 && !within(i, d) {
				i++
			}
			counts[i]++
		}
	}
	count(wire.StageOpen, wire.Buckets, func(i int, d time.Duration) bool {
		return d <= time.Duration(wire.BucketBoundsUS[i])*time.Microsecond
	})
	count(wire.StageOpen.Fine(), wire.FineBuckets, func(i int, d time.Duration) bool {
		return uint64(d) <= wire.FineBoundsNS[i]
	})
}

func TestStagesAreNativeAndClassic(t *testing.T) {
	durations := []time.Duration{
		0, 100, time.Microsecond, 3 * time.Microsecond, 3 * time.Microsecond, 450 * time.Microsecond, 470 * time.Microsecond,
		12 * time.Millisecond, time.Second, 40 * time.Second, 5 * time.Minute,
	}
	h := stageOf(t, func(s *wire.Stats) { observed(s, durations...) })
	if len(h.GetBucket()) != len(wire.BucketBoundsUS) || h.GetSampleCount() != uint64(len(durations)) {
		t.Fatalf("%d classic buckets, %d samples", len(h.GetBucket()), h.GetSampleCount())
	}
	if h.GetSchema() != 1 || h.GetZeroCount() != 2 || h.GetZeroThreshold() != math.Exp2(-20) {
		t.Errorf("schema %d, %d at most %g", h.GetSchema(), h.GetZeroCount(), h.GetZeroThreshold())
	}
	// Each duration above the threshold is in the bucket whose bounds are powers of the square root of two around it.
	want := map[int]int{}
	for _, d := range durations {
		if d.Seconds() > h.GetZeroThreshold() {
			want[min(13, int(math.Ceil(2*math.Log2(d.Seconds()))))]++
		}
	}
	got := map[int]int{}
	index, delta, n := 0, 0, int64(0)
	for _, span := range h.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			n += h.GetPositiveDelta()[delta]
			got[index] = int(n)
			index, delta = index+1, delta+1
		}
	}
	if delta != len(h.GetPositiveDelta()) || len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	total := int(h.GetZeroCount())
	for i, n := range want {
		total += got[i]
		if got[i] != n {
			t.Errorf("bucket %d has %d, want %d", i, got[i], n)
		}
	}
	if total != len(durations) {
		t.Errorf("%d in native buckets", total)
	}
}

func TestAnEnclaveOfBeforeHasClassicStages(t *testing.T) {
	h := stageOf(t, func(s *wire.Stats) { s.AddHistogram(wire.StageOpen, 5, wire.Buckets)[2] = 1 })
	if h.Schema != nil || h.GetSampleCount() != 1 {
		t.Errorf("%v", h)
	}
}

func TestHistogramsThatDisagreeStayClassic(t *testing.T) {
	h := stageOf(t, func(s *wire.Stats) {
		s.AddHistogram(wire.StageOpen, 5, wire.Buckets)[2] = 1
		s.AddHistogram(wire.StageOpen.Fine(), 5, wire.FineBuckets)[2] = 2
		s.AddHistogram(wire.StageOpen.Fine(), 5, 3)
	})
	if h.Schema != nil || h.GetSampleCount() != 1 {
		t.Errorf("%v", h)
	}
}

func TestAStageWithoutObservationsIsNativeToo(t *testing.T) {
	h := stageOf(t, func(s *wire.Stats) { observed(s) })
	if h.Schema == nil || len(h.GetPositiveSpan()) != 1 || h.GetPositiveSpan()[0].GetLength() != 0 {
		t.Errorf("%v", h)
	}
}
