package measure

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrGoal reports a goal that was missed. It is the only reason for exit status 3.
var ErrGoal = errors.New("goal missed")

// ErrGoalUnknown reports a goal whose name fits no measurement of the run.
var ErrGoalUnknown = errors.New("no measurement has the name of this goal")

// Goal is a bound that the caller sets: "p99=5ms", "rate=20000", "wire/ours/128/p50=50us". The name is a whole name
// or the last parts of one. Every line that it fits must meet it. Rates ("req/s") must be at least the bound,
// everything else at most.
type Goal struct {
	Name  string
	Bound float64 // in microseconds for durations
	Time  bool
}

// UnmarshalText reads a goal.
func (g *Goal) UnmarshalText(b []byte) error {
	name, value, ok := strings.Cut(string(b), "=")
	if !ok || name == "" {
		return errors.New("a goal is NAME=BOUND, as p99=5ms or rate=20000")
	}
	g.Name = name
	if v, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(v) && v >= 0 {
		g.Bound = v
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return errors.New("a goal's bound is a number or a duration, as 5ms")
	}
	g.Bound, g.Time = float64(d.Nanoseconds())/1000, true
	return nil
}

func (g *Goal) fits(l *Line) bool {
	return (l.Name == g.Name || strings.HasSuffix(l.Name, "/"+g.Name)) && l.Unit != "text" && g.Time == (l.Unit == "us")
}

func (g *Goal) reached(l *Line) bool {
	if l.Unit == "req/s" || l.Target != nil && l.Target.AtLeast {
		return l.Value >= g.Bound
	}
	return l.Value <= g.Bound
}

// check compares a goal with the lines.
func (g *Goal) check(lines []Line) error {
	var found bool
	for i := range lines {
		if !g.fits(&lines[i]) {
			continue
		}
		found = true
		if !g.reached(&lines[i]) {
			return fmt.Errorf("%w: %s is %s", ErrGoal, lines[i].Name, show(lines[i].Value, lines[i].Unit))
		}
	}
	if !found {
		return fmt.Errorf("%w: %s", ErrGoalUnknown, g.Name)
	}
	return nil
}
