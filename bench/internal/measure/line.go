// Package measure holds the common parts of bench's measurements: the loops that drive load, the process at the other
// side of it, distributions of latency, the lines that say what was measured, and the comparison of two sets of
// lines.
//
// # Lines
//
// A measurement is a [Line]. With JSON lines, standard output holds one object a line and nothing else. Progress and
// tables go to standard error. A measurement that was not made has no line. A missed target is "holds": false, and is
// not a failure. Only a missed [Goal] is a failure, and [ErrGoal] reports it.
//
// [Read] reads files of other builds: unknown members are skipped, and lines that are not measurements are refused.
//
// # Loops
//
// [ClosedFor] and [ClosedCount] drive a closed loop: a fixed number of callers, each of which sends its next request
// when it has the answer to the last. A closed loop says how fast a system is when its callers wait for it. It says
// little of latency under load: a stall stops the callers too, so the requests that would have suffered are never
// sent (coordinated omission).
//
// [Open] drives an open loop: requests start when a schedule says so, whether or not earlier ones were answered, like
// the requests of independent callers. Latency is counted from the intended start. If all callers are busy, or the
// system stalls, the time for which a request waits to be sent counts as its latency, so nothing is left out.
// [OpenRun.Late] records how late requests were really sent: a median far from zero says that the load's own machine
// was the limit. A thread of its own keeps the schedule, and sleeps in the kernel with a timer slack of a nanosecond.
// The Go runtime's timers round up to a millisecond when it idles, which is longer than what is measured here.
//
// # Comparisons
//
// [Compare] says what changed between two sets of lines, and what is noise. Measurements of one name belong together:
// the samples of a line, and lines that repeat a name, as of several runs. As in benchstat, medians are compared, and
// a change counts only if the Mann-Whitney U test finds the two sets unlikely (p < [Alpha]) to be of one
// distribution. The test assumes nothing about the distribution. With fewer than [MinSamples] on a side the verdict
// is [Unknown].
package measure

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// MaxLine is the longest line that Read takes, in bytes.
const MaxLine = 1 << 20

// Line is one measurement. All members of the first block are always present in JSON; those that do not apply are null.
type Line struct {
	// Name is a path of lower-case parts, from the general to the particular: "wire/ours/128/p99".
	Name string `json:"name"`
	// Value is in Unit. A ratio has the unit "x" and is repeated in Ratio.
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// N is the number of operations on which the value rests.
	N int64 `json:"n"`
	// Ratio is the value in relation to Against, measured in the same run.
	Ratio   *float64 `json:"ratio"`
	Against *string  `json:"against"`
	// Target is the bound for Ratio, or else for Value. Holds says whether it is met.
	Target *Target `json:"target"`
	Holds  *bool   `json:"holds"`

	// Samples are repeated measurements whose median is the value, for `bench compare`.
	Samples []float64 `json:"samples,omitempty"`
	// Curve is a latency distribution: pairs of quantile and microseconds.
	Curve [][2]float64 `json:"curve,omitempty"`
	// Meta says where and when a run was made.
	Meta map[string]string `json:"meta,omitempty"`
	// Note says what the reader must know about this value, for instance what limits it.
	Note string `json:"note,omitempty"`
}

// Target is a bound: "<= 2.5" or ">= 12".
type Target struct {
	AtLeast bool
	Bound   float64
}

// ErrTarget reports a target that is not of the form "<= NUMBER" or ">= NUMBER".
var ErrTarget = errors.New("target must be <= or >= and a number")

// AtMost and AtLeast make targets.
func AtMost(v float64) *Target { return &Target{Bound: v} }

// AtLeast is the target of a value that must not be lower.
func AtLeast(v float64) *Target { return &Target{AtLeast: true, Bound: v} }

// Holds reports whether v is within the bound. NaN never is.
func (t Target) Holds(v float64) bool {
	if t.AtLeast {
		return v >= t.Bound
	}
	return v <= t.Bound
}

func (t Target) String() string {
	op := "<= "
	if t.AtLeast {
		op = ">= "
	}
	return op + strconv.FormatFloat(t.Bound, 'g', -1, 64)
}

// MarshalText writes the form that UnmarshalText reads.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a target. Error: ErrTarget.
func (t *Target) UnmarshalText(b []byte) error {
	op, number, ok := strings.Cut(string(b), " ")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || math.IsNaN(v) || math.IsInf(v, 0) || op != "<=" && op != ">=" {
		return ErrTarget
	}
	t.AtLeast, t.Bound = op == ">=", v
	return nil
}

// Value makes a line of a plain value.
func Value(name string, v float64, unit string, n int64) Line {
	return Line{Name: name, Value: v, Unit: unit, N: n}
}

// Ratio makes a line of a ratio measured within one run; target may be nil.
func Ratio(name string, v float64, n int64, against string, target *Target) Line {
	l := Line{Name: name, Value: v, Unit: "x", N: n, Ratio: &v, Against: &against}
	return l.Held(target)
}

// Held returns the line with a target on its value; nil leaves it without.
func (l Line) Held(target *Target) Line {
	if target == nil {
		return l
	}
	holds := target.Holds(l.Value)
	l.Target, l.Holds = target, &holds
	return l
}

// With returns the line with its samples.
func (l Line) With(samples []float64) Line {
	l.Samples = samples
	return l
}

// valid reports whether a line can be written: JSON has no NaN.
func (l *Line) valid() bool {
	for _, v := range append([]float64{l.Value}, l.Samples...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return l.Name != "" && l.Unit != "" && (l.Target == nil) == (l.Holds == nil)
}

// Read reads JSON lines. The error names the line that is not a measurement.
func Read(r io.Reader) ([]Line, error) {
	var lines []Line
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), MaxLine)
	for n := 1; s.Scan(); n++ {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !l.valid() {
			return nil, fmt.Errorf("line %d: no measurement: name and unit are required", n)
		}
		lines = append(lines, l)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return lines, nil
}
