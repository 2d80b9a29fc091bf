package emf

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/pages"
)

func TestTheDocumentListsEveryMetric(t *testing.T) {
	var out bytes.Buffer
	r := recorder(&out)
	r.Request("/vaults", "GET", 500, "internal", time.Millisecond)
	r.Call("store", "list", "ok", time.Millisecond)
	r.Audit("DecryptVault", "ok")
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, d := range read(t, out.String()) {
		for _, told := range d.Meta.CloudWatchMetrics {
			for _, m := range told.Metrics {
				rows = append(rows, []string{m.Name, m.Unit, dimensions(told.Dimensions)})
			}
		}
	}
	pages.Rows(t, "API on Lambda",
		[]string{"metric", "unit", "further dimensions", "what it says", "when to worry"}, rows)
}

// dimensions are those beside the function's name, which each metric has.
func dimensions(sets [][]string) string {
	var out []string
	alone := false
	for _, set := range sets {
		set = slices.DeleteFunc(slices.Clone(set), func(name string) bool { return name == "Function" })
		if len(set) == 0 {
			alone = true
			continue
		}
		out = append(out, "`"+strings.Join(set, "`, `")+"`")
	}
	switch text := strings.Join(out, "; "); {
	case text == "":
		return "none"
	case alone:
		return text
	default:
		return text + ", only"
	}
}
