//go:build screens

package screenshots

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// measured is what bench writes on a line, as its README tells.
type measured struct {
	Name   string
	Unit   string
	Target *string
	Holds  *bool
	Value  float64
	Curve  [][2]float64
	Meta   map[string]string
}

// within tells whether the value keeps a bound: "<= 2.5" or ">= 12".
func (m *measured) within(target string) bool {
	op, number, _ := strings.Cut(target, " ")
	bound, err := strconv.ParseFloat(number, 64)
	return err == nil && (op == "<=" && m.Value <= bound || op == ">=" && m.Value >= bound)
}

// history reads the files of deploy/measurements, the newest last.
func history(t *testing.T) (files []string, newest []measured) {
	t.Helper()
	files, err := filepath.Glob("../measurements/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no measurements: %v", err)
	}
	latest := ""
	for _, name := range files {
		lines := readLines(t, name)
		for _, l := range lines {
			if l.Meta["time"] > latest {
				latest, newest = l.Meta["time"], lines
			}
		}
	}
	return files, newest
}

func readLines(t *testing.T, name string) (lines []measured) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var l measured
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// expected is what the report must draw.
type expected struct{ targets, held, margins, curves, loops, rates, ratios, all int }

func expect(lines []measured) (e expected) {
	rate := regexp.MustCompile(`^(wire|http)/[^/]+/\d+/rate$`)
	loop := regexp.MustCompile(`^(.+)/closed-\d+/p99$`)
	loops := map[string]bool{}
	for _, l := range lines {
		switch {
		case len(l.Curve) > 0:
			e.curves++
		case rate.MatchString(l.Name) && l.Unit == "req/s":
			e.rates++
		case strings.HasPrefix(l.Name, "crypto/") && strings.HasSuffix(l.Name, "/x-ecdh"):
			e.ratios++
		}
		if m := loop.FindStringSubmatch(l.Name); m != nil {
			loops[m[1]] = true
		}
		if l.Target != nil {
			e.targets++
		}
		if l.Holds != nil && *l.Holds {
			e.held++
		}
		if l.Target != nil && (*l.Holds || !l.within(*l.Target)) { // else the value would do, and is no proof
			e.margins++
		}
		if l.Meta == nil {
			e.all++
		}
	}
	e.loops = len(loops)
	return e
}

func report(t *testing.T, files ...string) string {
	t.Helper()
	page := filepath.Join(t.TempDir(), "report.html")
	cmd := proctest.Command(t, filepath.Join(bin(t), "bench"), append([]string{"report", "--out", page}, files...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bench report: %v\n%s", err, said)
	}
	return "file://" + page
}

// shows counts what a selector finds that takes room on the page.
func shows(t *testing.T, p *tab, what string, want int, selector string) {
	t.Helper()
	got := js[int](t, p, `[...document.querySelectorAll(`+"`"+selector+"`"+`)].filter(e => {
		const b = e.getBoundingClientRect();
		return ["line", "polyline"].includes(e.tagName) ? b.width > 0 || b.height > 0 : b.width > 0 && b.height > 0;
	}).length`)
	if got != want || want == 0 {
		t.Errorf("%s: %d shown, %d measured", what, got, want)
	}
}

func TestTheReportDrawsEveryMeasurement(t *testing.T) {
	t.Parallel()
	files, newest := history(t)
	url := report(t, files...)
	p := open(t, browser(t), url, url)
	e := expect(newest)
	shows(t, p, "targets", e.targets, "#targets tbody tr")
	shows(t, p, "targets that hold", e.held, "#targets .holds")
	shows(t, p, "margins of targets that are shown to hold or to be missed", e.margins, "#targets svg")
	shows(t, p, "distributions", e.curves, "#latency figure > svg polyline")
	shows(t, p, "their names", e.curves, "#latency figure li")
	shows(t, p, "loads", e.loops, "#throughput figure > svg")
	shows(t, p, "p50 and p99 of loads", 2*e.loops, "#throughput figure > svg polyline")
	shows(t, p, "bars", e.rates+e.ratios, "#comparisons figure > svg rect")
	js[bool](t, p, `document.querySelector("details").open = true`)
	shows(t, p, "values", e.all, "#all tbody tr")
	p.readable(t)
	bare(t, p)
	js[bool](t, p, `document.querySelector("details").open = false`)
	p.silent(t)
	p.picture(t, "report", `new DOMRect(0, -scrollY, 1280, scrollY + 6 +
		document.querySelector("#latency figure:nth-child(2)").getBoundingClientRect().bottom)`)
	for _, id := range []string{"latency", "throughput", "comparisons"} {
		p.picture(t, "report-"+id, `(r => new DOMRect(0, r.y - 16, 1280, r.height + 32))(document.getElementById("`+id+`").getBoundingClientRect())`)
	}
}

// bare demands that there is no script, nor anything that could become one, nor a source elsewhere.
func bare(t *testing.T, p *tab) {
	t.Helper()
	if found := js[[]string](t, p, `[...document.querySelectorAll("*")].filter(e => e.tagName === "SCRIPT" ||
		["src", "srcset", "action"].some(a => e.hasAttribute(a)) || e.hasAttribute("href") && e.getAttribute("href") !== "data:," ||
		[...e.attributes].some(a => a.name.startsWith("on"))).map(e => e.outerHTML.slice(0, 80))`); len(found) > 0 {
		t.Errorf("not bare: %v", found)
	}
}

// TestTheReportDrawsTheCourseOfManyRuns makes runs of one, each two hundredths higher than the one before.
func TestTheReportDrawsTheCourseOfManyRuns(t *testing.T) {
	t.Parallel()
	files, _ := history(t)
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	dir, runs := t.TempDir(), []string{}
	for i, commit := range []string{"1111111aaaaa", "2222222bbbbb", "3333333ccccc", "4444444ddddd", "5555555eeeee", "6666666fffff"} {
		var b bytes.Buffer
		for line := range bytes.Lines(data) {
			var l map[string]any
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			l["value"] = l["value"].(float64) * (1 + 0.02*float64(i))
			if meta, ok := l["meta"].(map[string]any); ok {
				meta["time"] = fmt.Sprintf("2030-01-%02dT00:00:00Z", i+1)
			}
			if err := json.NewEncoder(&b).Encode(l); err != nil {
				t.Fatal(err)
			}
		}
		name := filepath.Join(dir, commit+".jsonl")
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, name)
	}
	url := report(t, runs...)
	p := open(t, browser(t), url, url)
	targets := expect(readLines(t, files[0])).targets
	shows(t, p, "courses", targets, "#course figure > svg polyline")
	shows(t, p, "targets beside courses", targets, "#course figure > svg .bound")
	ticks := js[[]string](t, p, `[...document.querySelectorAll("#course figure:first-child text")].map(e => e.textContent)`)
	if ticks = slices.DeleteFunc(ticks, func(s string) bool { return len(s) != 7 }); len(ticks) != 4 || ticks[0] != "1111111" ||
		ticks[3] != "6666666" {
		t.Errorf("runs: %v", ticks)
	}
	p.readable(t)
	p.silent(t)
}
