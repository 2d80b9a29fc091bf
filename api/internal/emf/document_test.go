package emf

import (
	"bytes"
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
	exported := map[string]string{}
	for _, d := range read(t, out.String()) {
		for _, m := range d.Meta.CloudWatchMetrics[0].Metrics {
			exported[m.Name] = m.Unit
		}
	}
	pages.Metrics(t, "API on Lambda", exported)
}
