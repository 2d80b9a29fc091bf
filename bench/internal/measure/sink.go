package measure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"text/tabwriter"
)

// Sink takes measurements as they are made. Its methods may be called from several goroutines.
type Sink struct {
	mu       sync.Mutex
	json     io.Writer // nil: none
	tables   io.Writer
	progress io.Writer
	lines    []Line
	shown    int
	goals    []Goal
	err      error
}

// NewSink makes a sink. With json set, lines go to stdout as JSON and tables to stderr; else tables go to stdout.
func NewSink(stdout, stderr io.Writer, asJSON bool, goals []Goal) *Sink {
	s := &Sink{tables: stdout, progress: stderr, goals: goals}
	if asJSON {
		s.json, s.tables = stdout, stderr
	}
	return s
}

// Add takes one measurement. A value that is not a number was not measured, and is dropped.
func (s *Sink) Add(l Line) {
	if l.valid() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, l)
		s.write(&l)
	}
}

// Record writes a line as JSON. The line is shown in no table and held to no goal: its caller has a table of its own.
func (s *Sink) Record(l Line) {
	if l.valid() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(&l)
	}
}

// Tables is the writer of tables.
func (s *Sink) Tables() io.Writer { return s.tables }

func (s *Sink) write(l *Line) {
	if s.json == nil {
		return
	}
	e := json.NewEncoder(s.json)
	e.SetEscapeHTML(false) // ">= 12" must be readable by people too
	s.err = errors.Join(s.err, e.Encode(l))
}

// Progress writes a line of progress.
func (s *Sink) Progress(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.progress, format+"\n", args...) // a closed standard error is no reason to stop measuring
}

// Table writes the measurements since the last table.
func (s *Sink) Table(title string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines[s.shown:]
	s.shown = len(s.lines)
	if len(lines) == 0 {
		return
	}
	s.err = errors.Join(s.err, WriteTable(s.tables, title, lines))
}

// Lines returns the measurements so far.
func (s *Sink) Lines() []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Line(nil), s.lines...)
}

// Finish writes what no table has shown yet and checks the goals. It returns ErrGoal, wrapped, for a missed goal.
func (s *Sink) Finish() error {
	s.Table("")
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	for i := range s.goals {
		err = errors.Join(err, s.goals[i].check(s.lines))
	}
	return err
}

// WriteTable writes lines for people.
func WriteTable(w io.Writer, title string, lines []Line) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight|tabwriter.DiscardEmptyColumns)
	if title != "" {
		if _, err := fmt.Fprintf(w, "\n%s\n", title); err != nil {
			return err
		}
	}
	for i := range lines {
		l := &lines[i]
		target, holds, against := "", "", ""
		if l.Against != nil {
			against = "of " + *l.Against
		}
		if l.Target != nil {
			target, holds = l.Target.String(), "MISSED"
			if *l.Holds {
				holds = "holds"
			}
		}
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\tn=%d\t\n", l.Name, show(l.Value, l.Unit), against, target, holds, l.N)
		if err != nil {
			return err
		}
	}
	return t.Flush()
}

// show writes a value with its unit, three significant digits or whole.
func show(v float64, unit string) string {
	digits := 0
	if a := math.Abs(v); a > 0 && a < 100 {
		digits = min(6, max(0, 2-int(math.Floor(math.Log10(a)))))
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
}
