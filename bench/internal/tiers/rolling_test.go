package tiers

import (
	"errors"
	"io"
	"testing"
	"time"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/report"
)

// The bounds are bounds: a leak of any kind in any tier misses them, and so does a slow recovery.
func TestWhatGrowsOrRecoversSlowlyMissesItsBound(t *testing.T) {
	of := func(leaking, tier string, growth float64, slowest time.Duration) error {
		var c report.Course
		c.Marks = []report.Mark{{At: 1, Name: "x"}}
		for _, what := range []string{"memory", "goroutines", "descriptors"} {
			for _, one := range []string{Enclave, Parent, API} {
				for i := range 30 {
					value := 50.0
					if what == leaking && one == tier {
						value += growth * float64(i)
					}
					c.Add(what, one, float64(i), value)
				}
			}
		}
		sink := measure.NewSink(io.Discard, io.Discard, true, nil)
		return (&rolling{}).judge(&c, slowest, time.Hour, sink)
	}
	if err := of("", "", 0, time.Second); err != nil {
		t.Errorf("a flat run: %v", err)
	}
	if err := of("", "", 0, time.Minute); !errors.Is(err, ErrMissed) {
		t.Error("a slow recovery holds")
	}
	for _, tier := range []string{Enclave, Parent, API} {
		for _, what := range []string{"memory", "goroutines", "descriptors"} {
			if err := of(what, tier, 10, time.Second); !errors.Is(err, ErrMissed) {
				t.Errorf("%s of %s grow, and all holds", what, tier)
			}
		}
		if err := of("memory", tier, 1, time.Second); !errors.Is(err, ErrMissed) {
			t.Errorf("the memory of %s grows slowly, and all holds", tier)
		}
	}
}
