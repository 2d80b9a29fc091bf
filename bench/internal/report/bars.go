package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"redoubt/bench/internal/measure"
)

// bar is one bar of a chart. bound, if any, is its target's, and good says whether it is met.
type bar struct {
	name, text string
	value      float64
	bound      *float64
	good       *bool
	beside     bool // not ours: what ours is compared with
}

// class is the style of a value that meets its target, misses it, or has none.
func class(good *bool) string {
	switch {
	case good == nil:
		return "s0"
	case *good:
		return "good"
	}
	return "missed"
}

func (b *bar) class() string {
	if b.beside {
		return "s5"
	}
	return class(b.good)
}

// bars draws horizontal bars over a scale from zero, each with its name above.
func bars(title string, all []bar) chart {
	const row, thick = 40, 13
	most, room := 0.0, 0
	for _, b := range all {
		most = math.Max(most, b.value)
		room = max(room, len([]rune(b.text)))
	}
	scale := func(v float64) float64 {
		if most == 0 {
			return 0
		}
		return v / most * (width - charWidth*float64(room) - 14)
	}
	var s svg
	s.open(title, row*len(all)+4)
	for i, b := range all {
		y := float64(i * row)
		s.text(0, y+13, "start", b.name)
		s.add(`<g class="%s"><rect x="0" y="%.1f" width="%.1f" height="%d"/></g>`,
			b.class(), y+19, math.Max(scale(b.value), 1.5), thick)
		if b.bound != nil {
			s.add(`<line class="mark" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`,
				scale(*b.bound), scale(*b.bound), y+17.5, y+20.5+thick)
		}
		end := scale(b.value)
		if b.bound != nil {
			end = math.Max(end, scale(*b.bound))
		}
		s.text(end+7, y+30, "start", b.text)
	}
	return chart{Title: title, Plot: s.html()}
}

// margin says by which factor a value is from its target, and draws it: better values are to the right.
func margin(l *measure.Line) (string, template.HTML) {
	const wide, high, most = 120, 14, 10.0
	ratio := l.Value / l.Target.Bound
	if !l.Target.AtLeast {
		ratio = 1 / ratio
	}
	if l.Holds != nil && !*l.Holds && l.Target.Holds(l.Value) {
		return "", "" // the value proves nothing, as the line's note says
	}
	if !(ratio > 0) || math.IsInf(ratio, 0) {
		return "", ""
	}
	text := digits(ratio) + " × better"
	if ratio < 1 {
		text = digits(1/ratio) + " × short"
	}
	length := math.Log(math.Min(math.Max(ratio, 1/most), most)) / math.Log(most) * wide / 2
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="margin" viewBox="0 0 %d %d" role="img" aria-label="%s"><g class="%s">`,
		wide, high, escape(text), class(l.Holds))
	fmt.Fprintf(&b, `<rect x="%.1f" y="2" width="%.1f" height="%d"/></g>`,
		wide/2+math.Min(length, 0), math.Max(math.Abs(length), 1.5), high-4)
	fmt.Fprintf(&b, `<line class="mark" x1="%d" x2="%d" y1="0" y2="%d"/></svg>`, wide/2, wide/2, high)
	return text, template.HTML(b.String()) //nolint:gosec // of numbers alone
}
