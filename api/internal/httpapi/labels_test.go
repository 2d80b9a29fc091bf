package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
)

func TestNothingOfARequestBecomesALabel(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	for _, r := range [][2]string{
		{"GET", "/vaults/" + id},
		{"GET", "/v1/vaults/v_SENTINEL"},
		{"PROPFIND", "/vaults/" + id},
		{"SENTINEL", "/vaults"},
		{"GET", "/SENTINEL"},
		{"GET", "/vaults?cursor=SENTINEL"},
		{"DELETE", "/vaults/SENTINEL"},
		{"GET", "/vaults/SENTINEL/audit"},
	} {
		a.Do(r[0], r[1], "")
	}
	a.Do("POST", "/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"SENTINEL"}`).WantStatus(200)
	routes := []string{"unknown"}
	for _, o := range operations(t, a.Spec) {
		routes = append(routes, o.path)
	}
	families, err := a.Metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "redoubt_") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				seen++
				v := l.GetValue()
				bad := strings.Contains(v, "SENTINEL") || strings.Contains(v, id)
				switch l.GetName() {
				case "route":
					bad = bad || !slices.Contains(routes, v)
				case "method":
					bad = bad || !slices.Contains([]string{"GET", "POST", "PATCH", "DELETE", "unknown"}, v)
				}
				if bad {
					t.Errorf("%s has %s=%q", f.GetName(), l.GetName(), v)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d labels", seen)
	}
}
