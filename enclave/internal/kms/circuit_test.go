package kms

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var circuitStart = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)

func failCircuit(t *testing.T, c *circuit, now time.Time, n int) {
	t.Helper()
	for range n {
		p, ok, _, _ := c.allow(now)
		if !ok {
			t.Fatal("refused")
		}
		c.report(now, p, Throttled)
	}
}

func TestCircuitStaysClosedBelowHalf(t *testing.T) {
	var c circuit
	for i := range 1000 {
		p, ok, _, _ := c.allow(circuitStart)
		if !ok {
			t.Fatalf("refused after %d answers", i)
		}
		cause := OK
		if i%20 < 9 {
			cause = Unavailable
		}
		c.report(circuitStart, p, cause)
	}
}

func TestCircuitTellsTheStoryOfAnOutage(t *testing.T) {
	var c circuit
	now := circuitStart
	failCircuit(t, &c, now, circuitFailures)
	p, ok, wait, cause := c.allow(now)
	if ok || p.probe || cause != Throttled || wait < circuitMinPause/2 || wait > circuitMinPause {
		t.Fatalf("allowed %v, wait %v, cause %v", ok, wait, cause)
	}
	// The pause is over: one probe, which fails. The next pause is longer, up to a bound.
	for pause := circuitMinPause; pause < 4*circuitMaxPause; pause *= 2 {
		now = now.Add(wait)
		if p, ok, _, _ = c.allow(now); !ok || !p.probe {
			t.Fatal("no probe")
		}
		if _, ok, _, _ := c.allow(now); ok {
			t.Fatal("a second probe beside the first")
		}
		c.report(now, p, Timeout)
		if _, ok, wait, cause = c.allow(now); ok || cause != Timeout {
			t.Fatalf("allowed %v, cause %v", ok, cause)
		}
		if bound := min(2*pause, circuitMaxPause); wait < bound/2 || wait > bound {
			t.Errorf("pause %v, want between %v and %v", wait, bound/2, bound)
		}
	}
	// A probe whose caller left says nothing; another takes its place.
	now = now.Add(wait)
	p, _, _, _ = c.allow(now)
	c.report(now, p, Cancelled)
	for i := range circuitProbes {
		if p, ok, _, _ = c.allow(now); !ok || !p.probe {
			t.Fatalf("probe %d refused", i)
		}
		c.report(now, p, Denied) // a denial is an answer, too
	}
	if p, ok, _, _ = c.allow(now); !ok || p.probe {
		t.Error("not closed after its probes succeeded")
	}
	failCircuit(t, &c, now, circuitFailures-1) // the past is forgotten
	if state, opened := c.snapshot(now); state != CircuitClosed || opened == 0 {
		t.Errorf("state %v, opened %d", state, opened)
	}
}

func TestCircuitIgnoresAnswersFromBeforeItOpened(t *testing.T) {
	var c circuit
	late, _, _, _ := c.allow(circuitStart)
	failCircuit(t, &c, circuitStart, circuitFailures)
	c.report(circuitStart, late, OK)
	if _, ok, _, _ := c.allow(circuitStart); ok {
		t.Error("a late success closed it")
	}
}

// TestCircuitNeverSticks drives it at random: whatever happened, it closes once the service is well again.
func TestCircuitNeverSticks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var c circuit
		now := circuitStart
		var out []pass
		causes := []Cause{OK, Throttled, Timeout, Denied, Cancelled, BadCredentials, Untrusted}
		for range rapid.IntRange(0, 200).Draw(r, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(r, "ms")) * time.Millisecond)
			if p, ok, wait, _ := c.allow(now); ok {
				out = append(out, p)
			} else if wait <= 0 {
				r.Fatal("refused without a time")
			}
			probes := 0
			for _, p := range out {
				if p.probe {
					probes++
				}
			}
			if probes > 1 {
				r.Fatal("two probes at a time")
			}
			if len(out) > 0 && rapid.Bool().Draw(r, "end") {
				i := rapid.IntRange(0, len(out)-1).Draw(r, "which")
				c.report(now, out[i], rapid.SampledFrom(causes).Draw(r, "cause"))
				out = append(out[:i], out[i+1:]...)
			}
		}
		for _, p := range out {
			c.report(now, p, OK)
		}
		now = now.Add(2 * circuitMaxPause)
		for range circuitProbes {
			if p, ok, _, _ := c.allow(now); ok {
				c.report(now, p, OK)
			}
		}
		if p, ok, _, _ := c.allow(now); !ok || p.probe {
			r.Fatalf("stuck in state %v", c.state)
		}
	})
}
