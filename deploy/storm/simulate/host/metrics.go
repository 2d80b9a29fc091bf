package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The page with the metrics, and the list of those that no simulation moves.
const (
	metricsPage = "deploy/METRICS.md"
	unmovedList = "deploy/storm/simulate/testdata/unmoved.txt"
)

// ofFailures finds the names of metrics that count what went wrong, and failing the values of labels that say so.
var (
	metricRow  = regexp.MustCompile("^\\| `(redoubt_(?:parent|enclave|api)_[a-z_]+)` \\| (counter|gauge) \\| ([^|]*) \\|")
	labelValue = regexp.MustCompile("`([a-z]+)`: ([a-z_, -]+)")
	ofFailures = regexp.MustCompile(`fail|refus|lost|panic|dropped|shed|overloaded|expired_total|damaged|inconsistent|` +
		`not_kept|not_retried|bad_requests|over_budget|terminations|circuits?_open|restarts|stale|unknown`)
	failing = regexp.MustCompile(`^(failed|dropped|refused|denied|invalid|throttled|unavailable|credentials)$`)
)

var errMetrics = errors.New("the page of metrics is not understood")

// metricsOfFailures are the samples by which the page's metrics show failures: name, or name{label="value"}.
func metricsOfFailures(page string) (all []string) {
	for line := range strings.Lines(page) {
		m := metricRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		labeled := false
		for _, label := range labelValue.FindAllStringSubmatch(m[3], -1) {
			for _, value := range strings.Split(label[2], ", ") {
				if m[2] == "counter" && failing.MatchString(value) {
					labeled = true
					all = append(all, fmt.Sprintf("%s{%s=%q}", m[1], label[1], value))
				}
			}
		}
		if !labeled && ofFailures.MatchString(m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

// unmovedOf reads the list: a sample, and the test that moves it or, after a colon, the reason why none does.
func unmovedOf(list string) map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(list) {
		sample, why, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if ok && !strings.HasPrefix(line, "#") {
			known[sample] = why
		}
	}
	return known
}

// unmoved are the metrics of failures that did not move and are not in the list.
func (t *totals) unmoved(dir string) (never []string, err error) {
	page, err := os.ReadFile(filepath.Join(dir, metricsPage))
	if err != nil {
		return nil, err
	}
	list, err := os.ReadFile(filepath.Join(dir, unmovedList))
	if err != nil {
		return nil, err
	}
	all, known := metricsOfFailures(string(page)), unmovedOf(string(list))
	if len(all) < 30 {
		return nil, fmt.Errorf("%w: %d metrics of failures", errMetrics, len(all))
	}
	for _, sample := range all {
		if !t.moved[sample] && known[sample] == "" {
			never = append(never, sample)
		}
	}
	slices.Sort(never)
	return never, nil
}
