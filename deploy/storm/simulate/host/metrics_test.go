package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

const repository = "../../../.."

// Each line of the list is of a metric that exists and shows failures, and names a test that exists or gives a reason.
func TestMetricsThatNoSimulationMovesNameTheirTest(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all := metricsOfFailures(read(metricsPage))
	if len(all) < 30 {
		t.Fatalf("only %d metrics of failures were found: %q", len(all), all)
	}
	tests, err := proctest.Command(t, "grep", "-rhoE", "--include=*_test.go", `^func Test\w+`, repository).Output()
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^(Test\w+)$|^none: ..........`)
	for sample, why := range unmovedOf(read(unmovedList)) {
		if !slices.Contains(all, sample) {
			t.Errorf("%s shows no failure, or is no metric", sample)
		}
		m := form.FindStringSubmatch(why)
		if m == nil || m[1] != "" && !strings.Contains(string(tests), "func "+m[1]+"\n") {
			t.Errorf("%s: %q is no test and no reason", sample, why)
		}
	}
}

// A metric that is new on the page is demanded at once.
func TestAMetricOfFailuresMustMoveOrBeListed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := strings.Repeat("| `redoubt_api_lost_total` | counter | - | It. | x |\n", 40) +
		"| `redoubt_parent_new_total` | counter | `outcome`: failed, ok | New. | x |\n" +
		"| `redoubt_parent_calls_total` | counter | - | Calls. | x |\n"
	write(metricsPage, page)
	write(unmovedList, "# none\nredoubt_api_lost_total | TestIt\n")
	got := &totals{moved: map[string]bool{}}
	never, err := got.unmoved(dir)
	if err != nil || !slices.Equal(never, []string{`redoubt_parent_new_total{outcome="failed"}`}) {
		t.Errorf("%q, %v", never, err)
	}
	got.moved[`redoubt_parent_new_total{outcome="failed"}`] = true
	if never, err := got.unmoved(dir); err != nil || len(never) > 0 {
		t.Errorf("%q, %v", never, err)
	}
}
