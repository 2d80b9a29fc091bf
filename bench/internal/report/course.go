package report

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"redoubt/bench/internal/measure"
)

// Course is what was read again and again during a run, with marks for what happened. The zero value is empty.
type Course struct {
	Title string
	Marks []Mark
	lines map[string]map[string][][2]float64 // of a plot, of a series: minutes and values
}

// Mark is an event at a minute of the run.
type Mark struct {
	At   float64
	Name string
}

// Add notes a reading of a series at a minute. Each plot shows its series together.
func (c *Course) Add(plot, series string, at, value float64) {
	if c.lines == nil {
		c.lines = map[string]map[string][][2]float64{}
	}
	if c.lines[plot] == nil {
		c.lines[plot] = map[string][][2]float64{}
	}
	c.lines[plot][series] = append(c.lines[plot][series], [2]float64{at, value})
}

// Values are the readings of a series, in their order.
func (c *Course) Values(plot, series string) (values []float64) {
	for _, p := range c.lines[plot][series] {
		values = append(values, p[1])
	}
	return values
}

// plots are the course's, in the order of the page, with what their values are written as.
var plots = []struct {
	name, title string
	write       func(float64) string
}{
	{"latency", "Latency", duration},
	{"requests", "Requests between readings", short},
	{"memory", "Resident memory, MiB", short},
	{"goroutines", "Goroutines", short},
	{"descriptors", "Open descriptors", short},
}

// Write draws the course as a page of its own.
func (c *Course) Write(w io.Writer) error {
	p := page{Title: c.Title}
	s := section{
		ID: "course", Title: "Course of the run", About: "By minute. A mark at the foot of a plot is the begin of a fault.",
	}
	for _, plot := range plots {
		if len(c.lines[plot.name]) > 0 {
			s.Charts = append(s.Charts, c.draw(plot.title, plot.name, plot.write))
		}
	}
	p.Sections = []section{s}
	for _, m := range c.Marks {
		l := measure.Value(m.Name, m.At, "minute", 1)
		p.All = append(p.All, l)
	}
	return tmpl.Execute(w, &p)
}

func (c *Course) draw(title, plot string, write func(float64) string) chart {
	x := &axis{label: "minutes", write: short}
	y := &axis{label: title, write: write}
	var series []line
	var xs, ys []float64
	for _, name := range slices.Sorted(maps.Keys(c.lines[plot])) {
		points := c.lines[plot][name]
		series = append(series, line{name: name, points: points, marked: func(i int) bool { return i == len(points)-1 }})
		for _, p := range points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	marks := line{name: fmt.Sprintf("%d faults", len(c.Marks))}
	for _, m := range c.Marks {
		xs = append(xs, m.At)
		marks.points = append(marks.points, [2]float64{m.At, 0})
	}
	if len(marks.points) > 0 {
		series = append(series, marks)
	}
	x.fit(xs)
	y.fit(append(ys, 0))
	return lines(title, x, y, series)
}
