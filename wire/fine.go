package wire

import "math"

// Fine histograms carry the durations of a stage once more, in the buckets of Prometheus's native histograms: bounds
// are powers of the square root of two, in seconds. They are sent under stages of their own ([Stage.Fine]), which a
// parent that does not know them skips.
//
// A stage has both histograms, since neither can be computed from the other. The bounds of the classic one are 1, 2 and
// 5 times powers of ten. Dashboards, and Prometheus without native histograms, read these, and a parent of any release
// accepts them. An observation counts in both.
const (
	// fineStage is the number of the first stage's fine histogram.
	fineStage Stage = 64

	// FineSchema is the resolution as Prometheus counts it: each bound is 2^(2^-FineSchema) times the one before.
	FineSchema = 1

	// FineMin is the exponent of the lowest bound in steps of the schema: 2^-20 s, a little less than a microsecond.
	// Bucket i, from 0, counts what is above bound i-1 and at most bound i.
	FineMin = -40

	// FineMax is the exponent of the highest bound: 2^6 s.
	FineMax = 12

	// FineBuckets is the number of buckets of a fine histogram, the last without a bound.
	FineBuckets = FineMax - FineMin + 2
)

// FineBoundsNS are the upper bounds of the buckets in nanoseconds, inclusive, rounded down.
var FineBoundsNS = func() (out [FineBuckets - 1]uint64) {
	for i := range out {
		out[i] = uint64(math.Exp2(float64(FineMin+i)/2) * 1e9)
	}
	return out
}()

// Fine is the number under which the stage's fine histogram is sent.
func (s Stage) Fine() Stage { return s + fineStage }

// OfFine returns the stage whose fine histogram is sent under s. ok is false if s is not such a number.
func (s Stage) OfFine() (stage Stage, ok bool) {
	if s < fineStage || s >= fineStage+Stage(Stages) {
		return 0, false
	}
	return s - fineStage, true
}
