package measure

import (
	"cmp"
	"math"
	"slices"
)

// Alpha is the greatest p at which a difference counts. MinSamples is the least number of samples on each side.
const (
	Alpha      = 0.05
	MinSamples = 4
)

// Verdict on one measurement.
type Verdict string

// The verdicts.
const (
	Better  Verdict = "better"
	Worse   Verdict = "worse"
	Noise   Verdict = "noise"   // no difference beyond noise
	Unknown Verdict = "too few" // samples to tell
	Gone    Verdict = "gone"    // only in the old set
	Added   Verdict = "new"     // only in the new set
)

// Change says how one measurement changed.
type Change struct {
	Name, Unit string
	Old, New   float64 // medians
	Spread     float64 // greater interquartile range of the two sides, relative to its median
	P          float64
	Verdict    Verdict
}

// Delta is the relative change.
func (c *Change) Delta() float64 { return c.New/c.Old - 1 }

// series is all that was measured under a name.
type series struct {
	unit    string
	higher  bool // is better
	samples []float64
}

func gather(lines []Line) map[string]*series {
	m := make(map[string]*series)
	for i := range lines {
		l := &lines[i]
		if l.Meta != nil {
			continue
		}
		s := m[l.Name]
		if s == nil {
			s = &series{unit: l.Unit, higher: higherIsBetter(l)}
			m[l.Name] = s
		}
		if len(l.Samples) > 0 {
			s.samples = append(s.samples, l.Samples...)
		} else {
			s.samples = append(s.samples, l.Value)
		}
	}
	return m
}

func higherIsBetter(l *Line) bool {
	if l.Target != nil {
		return l.Target.AtLeast
	}
	return l.Unit == "req/s" || l.Unit == "x" && l.Against != nil && *l.Against != "one ECDH"
}

// Compare compares two sets, by name.
func Compare(before, after []Line) []Change {
	a, b := gather(before), gather(after)
	var changes []Change
	for name, old := range a {
		if now := b[name]; now != nil {
			changes = append(changes, judge(name, old, now))
		} else {
			changes = append(changes, Change{
				Name: name, Unit: old.unit, Old: Median(old.samples),
				New: math.NaN(), P: math.NaN(), Verdict: Gone,
			})
		}
	}
	for name, now := range b {
		if a[name] == nil {
			changes = append(changes, Change{
				Name: name, Unit: now.unit, Old: math.NaN(),
				New: Median(now.samples), P: math.NaN(), Verdict: Added,
			})
		}
	}
	slices.SortFunc(changes, func(x, y Change) int { return cmp.Compare(x.Name, y.Name) })
	return changes
}

func judge(name string, old, now *series) Change {
	c := Change{
		Name: name, Unit: now.unit, Old: Median(old.samples), New: Median(now.samples),
		Spread: max(spread(old.samples), spread(now.samples)), P: math.NaN(), Verdict: Unknown,
	}
	if len(old.samples) < MinSamples || len(now.samples) < MinSamples {
		return c
	}
	c.P = mannWhitney(old.samples, now.samples)
	switch {
	case !(c.P < Alpha) || c.New == c.Old:
		c.Verdict = Noise
	case (c.New > c.Old) == now.higher:
		c.Verdict = Better
	default:
		c.Verdict = Worse
	}
	return c
}

// spread is the interquartile range relative to the median.
func spread(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return (s[(n-1)*3/4] - s[(n-1)/4]) / math.Abs(Median(s))
}
