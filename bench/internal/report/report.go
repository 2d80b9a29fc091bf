// Package report draws bench's measurements as one HTML page with SVG plots. The page loads nothing and runs no
// script, can be read in light and in dark, and distinguishes series by shape as well as by colour. Its look in a
// browser is tested in deploy/screenshots.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"redoubt/bench/internal/measure"
)

// Set is the measurements of one file.
type Set struct {
	Name  string // the file's, or the commit's
	Lines []measure.Line
}

// Meta is what a set says of its run, or nil.
func (s *Set) Meta() map[string]string {
	for i := range s.Lines {
		if s.Lines[i].Meta != nil {
			return s.Lines[i].Meta
		}
	}
	return nil
}

// chart is a titled plot.
type chart struct {
	Title  string
	Plot   template.HTML
	Legend []key
}

// key is an entry of a legend.
type key struct {
	Name string
	Mark template.HTML
}

// target is a row of the table of targets.
type target struct {
	measure.Line
	Measured, Bound, Margin string
	Result, Class           string
	Plot                    template.HTML
}

// page is what the template shows.
type page struct {
	Title    string
	Meta     [][2]string
	Held     int
	Targets  []target
	Sections []section
	All      []measure.Line
}

type section struct {
	ID, Title, About string
	Charts           []chart
}

// Write writes the page: of the last set, and of the course of all sets when there are several.
func Write(w io.Writer, sets []Set) error {
	if len(sets) == 0 {
		return fmt.Errorf("report: %w", io.ErrUnexpectedEOF)
	}
	last := &sets[len(sets)-1]
	p := page{Title: "Redoubt: measurements of " + last.Name}
	meta := last.Meta()
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		p.Meta = append(p.Meta, [2]string{k, readable(meta[k])})
	}
	for i := range last.Lines {
		l := &last.Lines[i]
		if l.Target != nil {
			p.Targets = append(p.Targets, row(l))
		}
		if l.Holds != nil && *l.Holds {
			p.Held++
		}
		if l.Meta == nil {
			p.All = append(p.All, *l)
		}
	}
	p.Sections = []section{
		{
			"latency", "Latency by percentile", "Lower is better. Both axes are logarithmic; each nine takes the same room.",
			curves(last.Lines),
		},
		{
			"throughput", "Latency against throughput", "Closed loops of more and more callers: to the right and low is better.",
			throughput(last.Lines),
		},
		{
			"comparisons", "Comparisons", "Measured in turns within one run. A mark across a bar is its target.",
			comparisons(last.Lines),
		},
		{"course", "Over time", "Each target over all runs kept; the dashed line is the target.", history(sets)},
	}
	return tmpl.Execute(w, &p)
}

func row(l *measure.Line) target {
	t := target{Line: *l, Measured: quantity(l.Value, l.Unit), Bound: sign(l), Result: "✗ missed", Class: "misses"}
	t.Margin, t.Plot = margin(l)
	switch {
	case l.Holds != nil && *l.Holds:
		t.Result, t.Class = "✓ holds", "holds"
	case l.Target.Holds(l.Value):
		t.Result = "✗ not shown"
	}
	return t
}

// sign writes a line's target with a mathematician's signs, times with their unit.
func sign(l *measure.Line) string {
	bound := short(l.Target.Bound)
	if l.Unit == "us" {
		bound = duration(l.Target.Bound)
	}
	if l.Target.AtLeast {
		return "≥ " + bound
	}
	return "≤ " + bound
}

// readable writes what the kernel says in kB in GiB, and a time without its letters.
func readable(s string) string {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UTC().Format("2006-01-02 15:04 UTC")
	}
	if n, ok := strings.CutSuffix(s, " kB"); ok {
		if kb, err := strconv.ParseFloat(n, 64); err == nil {
			return digits(kb/(1<<20)) + " GiB"
		}
	}
	return s
}

//go:embed page.html
var source string

//go:embed page.css
var style string

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
	"value": func(l measure.Line) string { return short(l.Value) },
	"count": func(n int64) string { return short(float64(n)) },
}).Parse(source))
