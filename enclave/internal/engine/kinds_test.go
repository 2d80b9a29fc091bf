package engine

import (
	"testing"

	"redoubt/enclave/internal/workers"
	"redoubt/wire/kit/sealed"
)

// TestEachKindOfWorkHasAnEstimateOfItsOwn: for every suite, and apart from all other kinds.
func TestEachKindOfWorkHasAnEstimateOfItsOwn(t *testing.T) {
	kinds, costs := []workers.Kind{KindParse, kindEvaluate, kindCompile}, Costs()
	for _, s := range sealed.Suites() {
		kinds = append(kinds, openKind(s, false), openKind(s, true))
	}
	seen := map[workers.Kind]bool{}
	for _, k := range kinds {
		if seen[k] || costs[k] <= 0 {
			t.Errorf("kind %d: seen %v, cost %v", k, seen[k], costs[k])
		}
		seen[k] = true
	}
}
