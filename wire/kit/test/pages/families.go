package pages

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is a family of a registry's metrics, as a scrape sees it.
type Metric struct {
	Name, Type, Help string
	// Labels are by name, with the values that were seen. One without values is told by its name alone.
	Labels map[string][]string
}

// Families are those of a registry whose names begin with prefix, in order of their names. A vector without members has
// none: let each count something first.
func Families(t T, from prometheus.Gatherer, prefix string) []Metric {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []Metric
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		m := Metric{f.GetName(), strings.ToLower(f.GetType().String()), f.GetHelp(), map[string][]string{}}
		for _, one := range f.GetMetric() {
			for _, l := range one.GetLabel() {
				if seen := m.Labels[l.GetName()]; !slices.Contains(seen, l.GetValue()) {
					m.Labels[l.GetName()] = append(seen, l.GetValue())
				}
			}
		}
		out = append(out, m)
	}
	return out
}

// Metrics demands that METRICS.md lists under a heading exactly these, each with its type, its labels and its help, or
// with -write-reference makes it so.
func Metrics(t T, heading string, metrics []Metric) {
	t.Helper()
	var rows [][]string
	for _, m := range metrics {
		rows = append(rows, []string{m.Name, m.Type, labels(m.Labels), m.Help})
	}
	Rows(t, heading, []string{"metric", "type", "labels", "what it says", "when to worry"}, rows)
}

func labels(values map[string][]string) string {
	var out []string
	for name, values := range values {
		text := "`" + name + "`"
		if slices.Sort(values); len(values) > 0 {
			text += ": " + strings.Join(values, ", ")
		}
		out = append(out, text)
	}
	if slices.Sort(out); len(out) == 0 {
		return "-"
	}
	return strings.Join(out, "; ")
}

// Rows demands that the table under a heading of METRICS.md has these rows, or with -write-reference makes it so. A row
// begins with the metric's name. Columns of the table beyond those of a row are written by hand: they stay, and an
// empty one fails the test.
func Rows(t T, heading string, columns []string, rows [][]string) {
	t.Helper()
	const page, rule = "METRICS.md", "---|"
	before, old, after := tableOf(t, page, heading)
	byHand := map[string][]string{}
	for _, line := range old {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		byHand[strings.Trim(cells[0], "`")] = cells
	}
	lines := []string{"| " + strings.Join(columns, " | ") + " |", "|" + strings.Repeat(rule, len(columns))}
	for _, r := range rows {
		cells := []string{"`" + r[0] + "`"}
		for _, text := range r[1:] {
			cells = append(cells, cell(text))
		}
		kept := byHand[r[0]]
		for n := len(columns) - len(cells); n > 0; n-- {
			text := ""
			if n < len(kept) {
				text = kept[len(kept)-n]
			}
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s: write the column %q by hand", page, r[0], columns[len(columns)-n])
			}
			cells = append(cells, text)
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	switch {
	case slices.Equal(old, lines):
	case *write:
		text := before + strings.Join(lines, "\n") + "\n" + after
		if err := os.WriteFile(path(t, page), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table %q of deploy/%s is not current: run make reference\n%s", heading, page, difference(old, lines))
	}
}

// tableOf cuts a page at the first table under a heading.
func tableOf(t T, page, heading string) (before string, table []string, after string) {
	t.Helper()
	text := read(t, page)
	at := strings.Index(text, "\n## "+heading+"\n")
	if at < 0 {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	begin := strings.Index(text[at:], "\n| metric |")
	if end := strings.Index(text[at+1:], "\n## "); begin < 0 || end >= 0 && end+1 < begin {
		t.Fatalf("%s has no table under %q", page, heading)
	}
	before, rest := text[:at+begin+1], text[at+begin+1:]
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		table = append(table, strings.TrimSuffix(line, "\n"))
		after = rest[len(strings.Join(table, "\n")):]
	}
	return before, table, strings.TrimPrefix(after, "\n")
}

// difference lists the lines of which one table has more than the other.
func difference(old, now []string) string {
	var out strings.Builder
	for _, line := range old {
		if !slices.Contains(now, line) {
			fmt.Fprintf(&out, "- %s\n", line)
		}
	}
	for _, line := range now {
		if !slices.Contains(old, line) {
			fmt.Fprintf(&out, "+ %s\n", line)
		}
	}
	return out.String()
}
