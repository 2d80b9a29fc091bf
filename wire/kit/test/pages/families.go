package pages

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Families are the types of a registry's metrics whose names begin with prefix. A vector without members has none: let
// each count something first.
func Families(t T, from prometheus.Gatherer, prefix string) map[string]string {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), prefix) {
			out[f.GetName()] = strings.ToLower(f.GetType().String())
		}
	}
	return out
}
