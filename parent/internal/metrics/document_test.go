package metrics

import (
	"slices"
	"testing"

	"redoubt/parent/internal/probe"
	"redoubt/wire"
	"redoubt/wire/kit/test/pages"
	"redoubt/wire/kit/trace/otlp"
)

func TestTheDocumentListsEveryMetricOfParentAndEnclave(t *testing.T) {
	m := New("v1")
	m.AddEnclaves(enclaves{func(s *wire.Stats) {
		for id := range wire.StatID(wire.MaxStats) {
			if id.Known() {
				s.Add(id, 1)
			}
		}
		for stage := range wire.Stage(wire.Stages) {
			s.AddHistogram(stage, 1, wire.Buckets)
		}
	}})
	m.AddProbe(probes{{Region: "us-east-1", Said: "ok"}})
	for w := range Watched(WatchedValues) {
		m.Watch(w, func() float64 { return 1 })
	}
	spans, err := otlp.New(otlp.Options{Endpoint: "http://127.0.0.1:1", Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spans.Close(t.Context()) })
	m.Registry.MustRegister(spans.Collectors(Namespace)...)
	// Of these labels there are other values than the ones here.
	ofParent := named(pages.Families(t, m.Registry, Namespace), "code", "status", "version", "region",
		"redoubt_parent_http_requests_total route", "redoubt_parent_probes_total outcome")
	ofEnclave := named(pages.Families(t, m.Registry, "redoubt_enclave_"), "id", "build")
	for _, f := range ofEnclave {
		delete(f.Labels, "enclave") // which all have
	}
	pages.Metrics(t, "Parent", ofParent)
	pages.Metrics(t, "Enclave", ofEnclave)
}

// named takes the values of some labels away, or of one metric's label, so that their names alone are listed.
func named(families []pages.Metric, labels ...string) []pages.Metric {
	for _, f := range families {
		for name := range f.Labels {
			if slices.Contains(labels, name) || slices.Contains(labels, f.Name+" "+name) {
				f.Labels[name] = nil
			}
		}
	}
	return families
}

type probes []probe.State

func (p probes) States() []probe.State { return p }
