package metrics

import (
	"testing"

	"redoubt/parent/internal/probe"
	"redoubt/wire"
	"redoubt/wire/kit/test/pages"
)

// watched are registered by package app, as values read when asked for.
var watched = map[string]string{
	"ready": "gauge", "draining": "gauge", "credentials_valid": "gauge", "credentials_life_seconds": "gauge",
	"enclaves": "gauge", "certificate_life_seconds": "gauge", "requests_in_flight": "gauge", "files_stale": "gauge",
	"trace_spans_total": "counter",
}

func TestTheDocumentListsEveryMetricOfParentAndEnclave(t *testing.T) {
	m := New("v1")
	m.AddEnclaves(enclaves{func(s *wire.Stats) {
		for id := range wire.StatID(wire.MaxStats) {
			if id.Known() {
				s.Add(id, 1)
			}
		}
		s.AddHistogram(wire.StageKMS, 1, wire.Buckets)
	}})
	m.AddProbe(probes{{Region: "us-east-1", Said: "ok"}})
	exported := pages.Families(t, m.Registry, "redoubt_parent_")
	for name, kind := range watched {
		exported[Namespace+"_"+name] = kind
	}
	pages.Metrics(t, "Parent", exported)
	pages.Metrics(t, "Enclave", pages.Families(t, m.Registry, "redoubt_enclave_"))
}

type probes []probe.State

func (p probes) States() []probe.State { return p }
