package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"redoubt/bench/internal/measure"
)

var (
	// inFlightName takes wire/MODE/N and http/WAY/N apart.
	inFlightName = regexp.MustCompile(`^([^/]+)/([^/]+)/(\d+)$`)
	// closedName takes NAME/closed-N/WHAT apart.
	closedName = regexp.MustCompile(`^(.+)/closed-(\d+)/(rate|p50|p99)$`)
	number     = regexp.MustCompile(`\d+`)
)

// natural compares names so that 16 comes before 128.
func natural(a, b string) int {
	pad := func(s string) string {
		return number.ReplaceAllStringFunc(s, func(n string) string { return fmt.Sprintf("%12s", n) })
	}
	return cmp.Or(strings.Compare(pad(a), pad(b)), strings.Compare(a, b))
}

func byName[V any](m map[string]V) []string { return slices.SortedFunc(maps.Keys(m), natural) }

// spoken writes a name's parts for people.
func spoken(name string) string {
	name = strings.ReplaceAll(name, "/", ", ")
	for old, word := range map[string]string{"wire": "Wire", "http": "HTTP", "crypto": "Cryptography"} {
		if rest, ok := strings.CutPrefix(name, old); ok {
			return word + rest
		}
	}
	return name
}

// familyOf is the plot that a distribution belongs to, and its name there.
func familyOf(name string) (family, series string) {
	if m := inFlightName.FindStringSubmatch(name); m != nil {
		return m[1] + ", " + m[3] + " in flight", m[2]
	}
	parts := strings.Split(name, "/")
	head := strings.Join(parts[:min(2, len(parts)-1)], "/")
	series = strings.TrimPrefix(strings.TrimPrefix(name, head), "/")
	if n, ok := strings.CutPrefix(series, "closed-"); ok {
		return head + ", closed loop", n + " callers"
	}
	return head + ", open loop and beside others", strings.ReplaceAll(series, "/", " ")
}

// curves draws the distributions of each family of names, x being the number of nines.
func curves(all []measure.Line) (charts []chart) {
	families := make(map[string][]line)
	for i := range all {
		if len(all[i].Curve) == 0 {
			continue
		}
		family, series := familyOf(path.Dir(all[i].Name))
		var points [][2]float64
		for _, p := range all[i].Curve {
			if p[0] > 0 && p[0] < 1 && p[1] > 0 {
				points = append(points, [2]float64{1 / (1 - p[0]), p[1]})
			}
		}
		if len(points) > 1 {
			families[family] = append(families[family], line{name: series, points: points, marked: atTicks(points)})
		}
	}
	for _, family := range byName(families) {
		x := &axis{log: true, label: "percentile of requests", write: percentile}
		y := &axis{log: true, label: "latency", write: duration}
		fitBoth(x, y, families[family])
		x.fitNines()
		charts = append(charts, lines(spoken(family), x, y, families[family]))
	}
	return charts
}

// fitNines puts the ticks of an axis of nines: the median, and each further nine.
func (a *axis) fitNines() {
	a.grid, a.ticks = nil, nil
	for _, v := range append([]float64{2}, 10, 100, 1e3, 1e4, 1e5, 1e6) {
		if v <= a.max {
			a.grid = append(a.grid, v)
			a.ticks = append(a.ticks, tick{v, percentile(v)})
		}
	}
}

// atTicks chooses, of points over nines, the last of each nine, and the very last.
func atTicks(points [][2]float64) func(int) bool {
	return func(i int) bool {
		if i == len(points)-1 {
			return true
		}
		for _, v := range []float64{2, 10, 100, 1e3, 1e4, 1e5} {
			if points[i][0] <= v*1.001 && points[i+1][0] > v*1.001 {
				return true
			}
		}
		return false
	}
}

func percentile(inverse float64) string {
	return "p" + strconv.FormatFloat(math.Round((100-100/inverse)*1e6)/1e6, 'f', -1, 64)
}

func fitBoth(x, y *axis, series []line) {
	var xs, ys []float64
	for _, l := range series {
		for _, p := range l.points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	if y.bound != nil {
		ys = append(ys, *y.bound)
	}
	x.fit(xs)
	y.fit(ys)
}

// throughput draws latency over rate as the callers of closed loops grow.
func throughput(all []measure.Line) (charts []chart) {
	loads := make(map[string]map[int]map[string]float64)
	for i := range all {
		m := closedName.FindStringSubmatch(all[i].Name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			continue
		}
		if loads[m[1]] == nil {
			loads[m[1]] = make(map[int]map[string]float64)
		}
		if loads[m[1]][n] == nil {
			loads[m[1]][n] = make(map[string]float64)
		}
		loads[m[1]][n][m[3]] = all[i].Value
	}
	for _, name := range byName(loads) {
		p50, p99 := line{name: "p50, with the number of callers"}, line{name: "p99"}
		for _, n := range slices.Sorted(maps.Keys(loads[name])) {
			if l := loads[name][n]; l["rate"] > 0 && l["p50"] > 0 && l["p99"] > 0 {
				p50.points = append(p50.points, [2]float64{l["rate"], l["p50"]})
				p99.points = append(p99.points, [2]float64{l["rate"], l["p99"]})
				p50.labels = append(p50.labels, strconv.Itoa(n))
			}
		}
		if len(p50.points) < 2 {
			continue
		}
		x := &axis{label: "answers per second", write: short}
		y := &axis{log: true, label: "latency", write: duration}
		fitBoth(x, y, []line{p50, p99})
		charts = append(charts, lines(spoken(name), x, y, []line{p50, p99}))
	}
	return charts
}

// history draws each target's value over the sets.
func history(sets []Set) (charts []chart) {
	course := make(map[string][][2]float64)
	latest := make(map[string]*measure.Line)
	for i := range sets {
		for k := range sets[i].Lines {
			if l := &sets[i].Lines[k]; l.Target != nil {
				course[l.Name] = append(course[l.Name], [2]float64{float64(i), l.Value})
				latest[l.Name] = l
			}
		}
	}
	for _, name := range byName(course) {
		if len(course[name]) < 2 {
			continue
		}
		l := latest[name]
		x := &axis{label: "run, oldest first", write: func(v float64) string { return sets[int(v)].Name }}
		y := &axis{
			label: l.Unit + ", target " + sign(l), bound: &l.Target.Bound, write: short,
		}
		switch l.Unit {
		case "us":
			y.label, y.write = "target "+sign(l), duration
		case "x":
			y.label = "ratio, target " + sign(l)
		}
		series := []line{{points: course[name]}}
		fitBoth(x, y, series)
		x.fitRuns(sets)
		charts = append(charts, lines(name, x, y, series))
	}
	return charts
}

// fitRuns puts the ticks of an axis of runs: four at most, by the first characters of their names.
func (a *axis) fitRuns(sets []Set) {
	const most, length = 4, 7
	a.min, a.max, a.grid, a.ticks = 0, float64(len(sets)-1), nil, nil
	n := min(most, len(sets))
	for i := range n {
		at := i * (len(sets) - 1) / (n - 1)
		name := []rune(sets[at].Name)
		a.grid = append(a.grid, float64(at))
		a.ticks = append(a.ticks, tick{float64(at), string(name[:min(length, len(name))])})
	}
}
