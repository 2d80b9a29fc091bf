package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEachDirectDependencySaysWhatItIsFor reads go.mod: a dependency is taken for a reason, which `make deps` shows.
func TestEachDirectDependencySaysWhatItIsFor(t *testing.T) {
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*([\w./-]+\.[\w./-]+) v(\S+)(?: // (.*))?$`).
		FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[3], "indirect") {
			continue
		}
		direct++
		if len(strings.Fields(m[3])) < 2 {
			t.Errorf("go.mod does not say what %s is for", m[1])
		}
	}
	if direct < 20 {
		t.Errorf("%d direct dependencies found", direct)
	}
}
