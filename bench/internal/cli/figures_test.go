package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/bench/internal/report"
	"redoubt/wire/kit/program"
)

const pictured = "../../../deploy/screenshots/report.run"

// The figures of a page are those of the file that it names, and it says so if its pictures are of another run.
func TestThePagesFiguresAreThoseOfTheRunThatTheyName(t *testing.T) {
	run, err := os.ReadFile(pictured)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../../../README.md", "../../README.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := report.FiguresOf(page)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		lines, err := readFile(filepath.Join("../../../deploy/measurements", name+".jsonl"))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		want, err := report.SetFigures(page, &report.Set{Name: name, Lines: lines}, strings.TrimSpace(string(run)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(page, want) {
			t.Errorf("%s has other figures than %s.jsonl: make figures writes them", path, name)
		}
	}
}

func TestFiguresAreWrittenBetweenTheMarksOfAPage(t *testing.T) {
	dir := t.TempDir()
	page, run, file := filepath.Join(dir, "page.md"), filepath.Join(dir, "run"), filepath.Join(dir, "abc.jsonl")
	for path, text := range map[string]string{
		page: "before\n<!-- figures of nothing -->\nold\n<!-- end of figures -->\nafter\n", run: "other\n",
		file: `{"name":"meta","value":1,"unit":"s","n":1,"meta":{"commit":"abc","time":"2026-01-02T03:04:05Z"}}
{"name":"http/hot/64/allocs-parent","value":1.5,"unit":"allocs/req","n":1,"target":"<= 2","holds":true}
{"name":"wire/ours-of-bare/128/rate","value":0.5,"unit":"x","n":1,"target":">= 0.6","holds":false}
`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ flag, says string }{{"", "an earlier run, `other`"}, {"--drawn", "show the same run"}} {
		args := []string{"figures", file, page, "--pictured", run}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		bench(t, program.OK, args...)
		got, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"before\n<!-- figures of abc -->\n", "1 of 2 targets hold", "≤ 2, holds", "**missed**", c.says, "-->\nafter\n"} {
			if !strings.Contains(string(got), want) {
				t.Errorf("the page has no %q:\n%s", want, got)
			}
		}
		if strings.Contains(string(got), "\nold\n") {
			t.Errorf("the page keeps what was between the marks:\n%s", got)
		}
	}
	if err := os.WriteFile(page, []byte("no marks\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bench(t, program.Failed, "figures", file, page, "--pictured", run)
}
