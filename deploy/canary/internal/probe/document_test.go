package probe

import (
	"encoding/json"
	"testing"
	"time"

	"redoubt/wire/kit/test/pages"
)

func TestTheDocumentListsEveryMetric(t *testing.T) {
	m := NewMetrics("v1")
	m.Set(Result{Identity: Refused}, time.UnixMilli(1))
	families := pages.Families(t, m.Registry, "redoubt_")
	for _, f := range families {
		if _, there := f.Labels["version"]; there {
			f.Labels["version"] = nil
		}
	}
	pages.Metrics(t, "Canary", families)
}

func TestTheDocumentListsEveryMetricOnLambda(t *testing.T) {
	var e struct {
		Meta struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name, Unit string } }
		} `json:"_aws"`
	}
	data, err := json.Marshal(EMF(Result{Identity: Refused}, time.UnixMilli(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, d := range e.Meta.CloudWatchMetrics {
		for _, m := range d.Metrics {
			rows = append(rows, []string{m.Name, m.Unit})
		}
	}
	pages.Rows(t, "Canary on Lambda", []string{"metric", "unit", "what it says", "when to worry"}, rows)
}

func TestWhatLambdaLogsIsOfTheEmbeddedMetricFormat(t *testing.T) {
	data, err := json.Marshal(EMF(Result{Identity: Succeeded, RoundTrip: ErrWrongValue, Took: time.Second}, time.UnixMilli(1)))
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	if err := pages.EMF(t).Validate(root); err != nil {
		t.Error(err)
	}
}
