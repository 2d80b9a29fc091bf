package program

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestNumbersOutsideTheirBoundsAreRefusedNaNToo(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.1, 1.1, math.MaxFloat64, -math.MaxFloat64} {
		if Within(v, 0, 1) || Range("--ratio", v, 0, 1) == nil {
			t.Errorf("%v is taken for 0 to 1", v)
		}
	}
	for _, v := range []float64{0, 1, 0.5, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		if err := Range("--ratio", v, 0, 1); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	err := Range("--wait", 2*time.Hour, time.Millisecond, MaxWait)
	if m := mistake(""); !errors.As(err, &m) || err.Error() != "--wait must be 1ms to 1h0m0s" {
		t.Errorf("%v", err)
	}
}
