// Package pages keeps the pages of deploy/ true to the code: tests of each tier compare what the code has with what the
// pages say. Only tests import it, so that no program carries its own documentation generator.
//
// REFERENCE.md is generated: each tier's test renders its part from its flags or its file's fields and compares it with
// what stands between the part's two marks; `make reference` runs the same tests with -write-reference, and they then
// put it there. The tables of METRICS.md are made by the same command from what each program exports; their last
// column, when to worry, is written by hand and kept.
package pages

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var write = flag.Bool("write-reference", false, "write deploy/REFERENCE.md instead of comparing with it")

// T is what is used of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// path is a page's in the repository that the test's folder is in.
func path(t T, page string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "deploy", page)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not in the repository")
		}
		dir = filepath.Dir(dir)
	}
}

func read(t T, page string) string {
	t.Helper()
	data, err := os.ReadFile(path(t, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Reference demands that a part of REFERENCE.md is text, or with -write-reference makes it so. Tests that write run one
// after another (go test -p 1).
func Reference(t T, part, text string) {
	t.Helper()
	page := read(t, "REFERENCE.md")
	begin, end := "<!-- generated: "+part+" -->\n", "<!-- end: "+part+" -->\n"
	before, rest, ok := strings.Cut(page, begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("REFERENCE.md has no part %s", part)
	}
	text = "\n" + strings.TrimSpace(text) + "\n\n"
	switch {
	case old == text:
	case *write:
		if err := os.WriteFile(path(t, "REFERENCE.md"), []byte(before+begin+text+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the part %s of deploy/REFERENCE.md is not current: run make reference", part)
	}
}

var row = regexp.MustCompile("^\\| `([^`]+)` \\| ([^|]+) \\|(.*)\\|$")

// Table is what a page lists under a heading (its text, without the marks): the second column by the first. A row with
// an empty cell, or one that is there twice, fails the test.
func Table(t T, page, heading string) map[string]string {
	t.Helper()
	listed := map[string]string{}
	in := false
	for line := range strings.Lines(read(t, page)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "#"); ok {
			in = strings.TrimLeft(title, "# ") == heading
		}
		m := row.FindStringSubmatch(line)
		if !in || m == nil {
			continue
		}
		if _, twice := listed[m[1]]; twice {
			t.Errorf("%s: %s is listed twice", page, m[1])
		}
		for cell := range strings.SplitSeq(m[3], "|") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%s: %s has an empty cell", page, m[1])
			}
		}
		listed[m[1]] = strings.TrimSpace(m[2])
	}
	if len(listed) == 0 {
		t.Errorf("%s: nothing is listed under %q", page, heading)
	}
	return listed
}
