package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/report"
)

type reportCommand struct {
	Files []string `arg:"" help:"Files of JSON lines, put in order by the time they tell. The last is shown in full." type:"existingfile"`
	Out   string   `help:"Page to write." default:"bench.html" type:"path"`
}

// Run writes the page.
func (c *reportCommand) Run(sink *measure.Sink) (err error) {
	var sets []report.Set
	for _, path := range c.Files {
		lines, err := readFile(path)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(filepath.Base(path), ".jsonl")
		sets = append(sets, report.Set{Name: name, Lines: lines})
	}
	slices.SortStableFunc(sets, func(a, b report.Set) int { return strings.Compare(a.Meta()["time"], b.Meta()["time"]) })
	f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // a page to be read
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := report.Write(f, sets); err != nil {
		return err
	}
	sink.Progress("report: wrote %s", c.Out)
	return nil
}

func readFile(path string) ([]measure.Line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines, err := measure.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lines, nil
}

type compareCommand struct {
	Old string `arg:"" help:"File of JSON lines that is the base of the comparison." type:"existingfile"`
	New string `arg:"" help:"File of JSON lines that is judged." type:"existingfile"`
	All bool   `help:"Also show what did not change by more than noise."`
}

// Run compares two files.
func (c *compareCommand) Run(sink *measure.Sink) error {
	before, err := readFile(c.Old)
	if err != nil {
		return err
	}
	after, err := readFile(c.New)
	if err != nil {
		return err
	}
	changes := measure.Compare(before, after)
	for i := range changes {
		x := &changes[i]
		if math.IsNaN(x.Old) || math.IsNaN(x.New) || x.Old == 0 {
			continue
		}
		l := measure.Ratio("compare/"+x.Name, x.New/x.Old, 1, "old", nil)
		l.Note = string(x.Verdict)
		sink.Record(l)
	}
	return c.table(sink.Tables(), changes)
}

func (c *compareCommand) table(w io.Writer, changes []measure.Change) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "name\told\tnew\tchange\tspread\tp\tverdict\t")
	hidden := 0
	for i := range changes {
		x := &changes[i]
		if !c.All && (x.Verdict == measure.Noise || x.Verdict == measure.Unknown) {
			hidden++
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", x.Name, number(x.Old, "%.4g "+x.Unit), number(x.New, "%.4g "+x.Unit),
			number(100*x.Delta(), "%+.1f %%"), number(100*x.Spread, "±%.0f %%"), number(x.P, "%.3f"), x.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%d did not change beyond noise, or have too few samples to tell (--all shows them)\n", hidden)
	}
	return nil
}

func number(v float64, format string) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
