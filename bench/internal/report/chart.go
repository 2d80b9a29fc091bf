package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Size of a plot in SVG units, which are about pixels, and the room for axes.
const (
	width, height            = 460, 290
	left, right, top, bottom = 58, 16, 30, 42
	// charWidth is what a character of the plots' text takes at most, on average.
	charWidth = 7.7
)

// colors is how many colours the style sheet names, from s0 on. With marks of five shapes, forty series can be
// distinguished, and without colour neighbours still can.
const colors = 8

// line is a named series of points. Labels, where there are any, stand beside their points.
type line struct {
	name   string
	points [][2]float64
	marked func(i int) bool // nil: every point
	labels []string
}

// svg is a drawing under way.
type svg struct{ b strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(&s.b, format, args...) }

func (s *svg) html() template.HTML {
	s.add("</svg>")
	return template.HTML(s.b.String()) //nolint:gosec // every text in it went through escape
}

func escape(s string) string { return template.HTMLEscapeString(s) }

func px(f float64) float64 { return left + f*(width-left-right) }
func py(f float64) float64 { return height - bottom - f*(height-top-bottom) }

func (s *svg) open(title string, h int) {
	s.add(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, h, escape(title))
}

// text writes at x, y; anchor is start, middle or end.
func (s *svg) text(x, y float64, anchor, text string) {
	s.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, escape(text))
}

func (s *svg) axes(x, y *axis) {
	for _, v := range x.grid {
		at := px(x.place(v))
		s.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, at, at, top, height-bottom)
	}
	for _, v := range y.grid {
		at := py(y.place(v))
		s.add(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, at, at)
	}
	for _, t := range x.ticks {
		// A text at the edge stays within the drawing.
		half := charWidth * float64(len([]rune(t.text))) / 2
		s.text(min(px(x.place(t.at)), width-half), height-bottom+20, "middle", t.text)
	}
	for _, t := range y.ticks {
		s.text(left-7, py(y.place(t.at))+4, "end", t.text)
	}
	s.add(`<g class="name">`)
	s.text(0, 13, "start", y.label)
	s.text(px(1), height-5, "end", x.label)
	s.add(`</g>`)
}

// mark is the i-th series' sign at x, y.
func mark(i int, x, y float64) string {
	const r = 3.4
	switch i % 5 {
	case 0:
		return fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="%.1f"/>`, x, y, r)
	case 1:
		return fmt.Sprintf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x-r, y-r, 2*r, 2*r)
	case 2:
		return fmt.Sprintf(`<path d="M%.1f %.1fl%.1f %.1fh%.1fz"/>`, x, y-1.3*r, 1.3*r, 2.2*r, -2.6*r)
	case 3:
		return fmt.Sprintf(`<path d="M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz"/>`,
			x, y-1.4*r, 1.4*r, 1.4*r, -1.4*r, 1.4*r, -1.4*r, -1.4*r)
	}
	return fmt.Sprintf(`<path d="M%.1f %.1fl%.1f %.1fh%.1fz"/>`, x, y+1.3*r, 1.3*r, -2.2*r, -2.6*r)
}

// lines draws series over two fitted axes.
func lines(title string, x, y *axis, series []line) chart {
	var s svg
	s.open(title, height)
	s.axes(x, y)
	if y.bound != nil {
		at := py(y.place(*y.bound))
		s.add(`<line class="bound" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, at, at)
	}
	for i, l := range series {
		s.series(i, &l, x, y)
	}
	for _, l := range series { // over all lines and marks
		s.labels(&l, x, y)
	}
	c := chart{Title: title, Plot: s.html()}
	for i, l := range series {
		if l.name != "" {
			c.Legend = append(c.Legend, key{l.name, swatch(i)})
		}
	}
	return c
}

func (s *svg) series(i int, l *line, x, y *axis) {
	s.add(`<g class="s%d"><polyline points="`, i%colors)
	for _, p := range l.points {
		s.add("%.1f,%.1f ", px(x.place(p[0])), py(y.place(p[1])))
	}
	s.add(`"/>`)
	for k, p := range l.points {
		if l.marked == nil || l.marked(k) {
			s.add(`<g><title>%s: %s, %s</title>%s</g>`, escape(l.name), escape(x.write(p[0])), escape(y.write(p[1])),
				mark(i, px(x.place(p[0])), py(y.place(p[1]))))
		}
	}
	s.add("</g>")
}

// labels writes beside the points what has room there.
func (s *svg) labels(l *line, x, y *axis) {
	type box struct{ left, right, y float64 }
	var taken []box
	s.add(`<g class="label">`)
next:
	for k, text := range l.labels {
		at, base := px(x.place(l.points[k][0])), py(y.place(l.points[k][1]))+17
		half := charWidth * float64(len(text)) / 2
		at = math.Min(at, width-half)
		for _, b := range taken {
			if at-half < b.right && at+half > b.left && math.Abs(base-b.y) < 14 {
				continue next
			}
		}
		if base > height-bottom-2 {
			continue
		}
		taken = append(taken, box{at - half, at + half, base})
		s.text(at, base, "middle", text)
	}
	s.add("</g>")
}

// swatch is the i-th series' entry in a legend.
func swatch(i int) template.HTML {
	return template.HTML(fmt.Sprintf( //nolint:gosec // of numbers alone
		`<svg class="key" viewBox="0 0 26 12" aria-hidden="true"><g class="s%d"><polyline points="0,6 26,6"/>%s</g></svg>`,
		i%colors, mark(i, 13, 6)))
}
