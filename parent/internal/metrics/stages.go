package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"redoubt/wire"
)

// stages exposes the histograms of an enclave's stages: classic buckets, and native ones beside them if the enclave
// sends those too and both agree. A stage of a newer enclave, or a duplicate, is left out: a scrape must not fail
// because of it.
func (c *collector) stages(ch chan<- prometheus.Metric, url string, m *wire.Stats) {
	classic := map[wire.Stage]*wire.Histogram{}
	fine := map[wire.Stage]*wire.Histogram{}
	for i := range m.Histograms {
		h := &m.Histograms[i]
		if of, ok := h.Stage.OfFine(); ok && len(h.Counts) == wire.FineBuckets && fine[of] == nil {
			fine[of] = h
		}
		if h.Stage.String() != "" && len(h.Counts) == wire.Buckets && classic[h.Stage] == nil {
			classic[h.Stage] = h
		}
	}
	for stage, h := range classic {
		buckets := make(map[float64]uint64, wire.Buckets)
		total := uint64(0)
		for i, n := range h.Counts {
			total += n
			if i < len(wire.BucketBoundsUS) {
				buckets[float64(wire.BucketBoundsUS[i])/1e6] = total
			}
		}
		metric := prometheus.MustNewConstHistogram(c.stage, total, float64(h.SumUS)/1e6, buckets, url, stage.String())
		if f := fine[stage]; f != nil && sum(f.Counts) == total {
			metric = both{metric, f.Counts}
		}
		ch <- metric
	}
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// both is a classic histogram that also has the buckets of a native one, which are those of a fine histogram.
type both struct {
	prometheus.Metric

	counts []uint64
}

// Write implements prometheus.Metric.
func (b both) Write(out *dto.Metric) error {
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	h := out.GetHistogram()
	h.Schema = new(int32(wire.FineSchema))
	h.ZeroThreshold = new(math.Exp2(float64(wire.FineMin) / 2))
	h.ZeroCount = new(b.counts[0])
	last, end := int64(0), int32(0) // the count, and the index after, of the bucket before
	for i, n := range b.counts[1:] {
		if n == 0 {
			continue
		}
		index := int32(wire.FineMin + 1 + i)
		if len(h.GetPositiveSpan()) > 0 && index == end {
			*h.PositiveSpan[len(h.PositiveSpan)-1].Length++
		} else {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: new(index - end), Length: new(uint32(1))})
		}
		h.PositiveDelta = append(h.PositiveDelta, int64(n)-last)
		last, end = int64(n), index+1
	}
	if len(h.GetPositiveSpan()) == 0 { // by this a scraper recognises an empty native histogram
		h.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}}
	}
	return nil
}
