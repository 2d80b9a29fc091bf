package wire

import "encoding/binary"

// Stage is a part of the request path whose time is measured.
type Stage uint32

// Stages in the order of the path.
const (
	StageQueue Stage = iota
	StageKey
	StageKMS
	StageOpen
	StageExpression
	StageEncode
	StageTotal

	// Stages is the number of known stages; they are 0 to Stages-1.
	Stages = int(StageTotal) + 1
)

var stageNames = [Stages]string{"queue", "key", "kms", "open", "expression", "encode", "total"}

// String is the name of a known stage, "" of an unknown one.
func (s Stage) String() string {
	if int(s) >= Stages {
		return ""
	}
	return stageNames[s]
}

// BucketBoundsUS are the upper bounds, in microseconds and inclusive, of the buckets of every histogram of version 1.
// A last bucket without a bound follows. Messages do not carry bounds: another set of bounds would be another
// [Stage].
var BucketBoundsUS = [...]uint32{
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
	1_000_000, 2_000_000, 5_000_000, 10_000_000,
}

// Buckets is the number of buckets of a version 1 histogram, the unbounded one included.
const Buckets = len(BucketBoundsUS) + 1

// Stat is one counter or gauge.
type Stat struct {
	ID    StatID
	Value int64
}

// Histogram counts the durations of one stage since the enclave started.
type Histogram struct {
	Stage Stage
	// SumUS is the sum of all durations in microseconds.
	SumUS uint64
	// Counts per bucket, not cumulative; [Buckets] of them for a known stage.
	Counts []uint64
}

// Stats is a snapshot. Decode copies: nothing borrows from the frame. Reuse after Reset allocates nothing.
type Stats struct {
	Values     []Stat
	Histograms []Histogram
}

// Reset empties the snapshot and keeps its slices.
func (m *Stats) Reset() {
	m.Values, m.Histograms = m.Values[:0], m.Histograms[:0]
}

// Add appends a value.
func (m *Stats) Add(id StatID, v int64) { m.Values = append(m.Values, Stat{ID: id, Value: v}) }

// AddHistogram appends a histogram and returns its counts, n zeros, to be filled in.
func (m *Stats) AddHistogram(s Stage, sumUS uint64, n int) []uint64 {
	var h *Histogram
	m.Histograms, h = grow(m.Histograms)
	h.Stage, h.SumUS = s, sumUS
	if cap(h.Counts) < n {
		h.Counts = make([]uint64, n)
	}
	h.Counts = h.Counts[:n]
	clear(h.Counts)
	return h.Counts
}

// Value returns the value of id, and whether the snapshot has it.
func (m *Stats) Value(id StatID) (int64, bool) {
	for _, s := range m.Values {
		if s.ID == id {
			return s.Value, true
		}
	}
	return 0, false
}

// Validate checks the limits of what Append would write.
func (m *Stats) Validate() error {
	if len(m.Values) > MaxStats || len(m.Histograms) > MaxStats {
		return ErrLimit
	}
	for i := range m.Histograms {
		if len(m.Histograms[i].Counts) > MaxBuckets {
			return ErrLimit
		}
	}
	return nil
}

// Append appends the body.
func (m *Stats) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Values)))
	for _, s := range m.Values {
		dst = appendSvarint(binary.AppendUvarint(dst, uint64(s.ID)), s.Value)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Histograms)))
	for i := range m.Histograms {
		h := &m.Histograms[i]
		dst = binary.AppendUvarint(dst, uint64(h.Stage))
		dst = binary.AppendUvarint(dst, h.SumUS)
		dst = binary.AppendUvarint(dst, uint64(len(h.Counts)))
		for _, c := range h.Counts {
			dst = binary.AppendUvarint(dst, c)
		}
	}
	return dst
}

// Decode reads a body. It resets m first. All failures wrap [ErrMalformed].
func (m *Stats) Decode(b []byte) error {
	m.Reset()
	r := reader{b: b}
	for range r.count(MaxStats, 2) {
		id := StatID(r.u32())
		m.Add(id, r.svarint())
	}
	for range r.count(MaxStats, 3) {
		stage, sum := Stage(r.u32()), r.uvarint()
		counts := m.AddHistogram(stage, sum, r.count(MaxBuckets, 1))
		for i := range counts {
			counts[i] = r.uvarint()
		}
		if r.err != nil {
			return r.err
		}
	}
	return r.skipExtensions()
}
