package otlp

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Settings are what an operator configures; "" means not configured.
type Settings struct {
	Endpoint    string // base URL; without it there is no exporter
	HeadersFile string // see ReadHeader
	CAFile      string // see ReadRoots
	Ratio       float64
}

// Open makes the exporter of a tier, and returns nil without an endpoint. Errors: those of New, ReadHeader and
// ReadRoots.
func Open(s Settings, service, version string, log *slog.Logger) (*Exporter, error) {
	if s.Endpoint == "" {
		return nil, nil //nolint:nilnil // tracing that is off is not an error
	}
	header, err := ReadHeader(s.HeadersFile)
	if err != nil {
		return nil, err
	}
	roots, err := ReadRoots(s.CAFile)
	if err != nil {
		return nil, err
	}
	return New(Options{
		Endpoint: s.Endpoint, Header: header, TLS: roots, Ratio: s.Ratio, Service: service, Version: version, Log: log,
	})
}

// Collectors count the spans, as NAMESPACE_trace_spans_total by outcome.
func (e *Exporter) Collectors(namespace string) []prometheus.Collector {
	count := func(outcome string, read func(Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "trace_spans_total",
			Help:        "Spans of sampled requests, by what came of them; only with `--otlp-endpoint`.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		}, func() float64 { return float64(read(e.Stats())) })
	}
	return []prometheus.Collector{
		count("exported", func(s Stats) uint64 { return s.Exported }),
		count("failed", func(s Stats) uint64 { return s.Failed }),
		count("dropped", func(s Stats) uint64 { return s.Dropped }),
	}
}
