package probe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are a probe's results for Prometheus.
type Metrics struct {
	Registry *prometheus.Registry

	ok, last prometheus.Gauge
	took     prometheus.Histogram
	identity *prometheus.GaugeVec
}

// NewMetrics makes a registry. It holds no results until the first Set, so that nothing is reported that was not
// asked.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		ok: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redoubt_canary_round_trip_ok", Help: "1 if the last round trip gave the right answer.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redoubt_canary_round_trip_last_success_timestamp_seconds",
			Help: "When the last round trip with the right answer ended, in Unix time.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "redoubt_canary_round_trip_duration_seconds",
			Help:    "Time that a round trip with the right answer takes: create, decrypt and delete together.",
			Buckets: prometheus.ExponentialBuckets(.005, 2, 13), NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}),
		identity: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "redoubt_canary_identity",
			Help: "How KMS answered the last Decrypt from outside an enclave: 1 for that result.",
		}, []string{"result"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "redoubt_canary_build_info", Help: "Always 1; the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.Registry.MustRegister(info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Set takes a result.
func (m *Metrics) Set(r Result, now time.Time) {
	for _, c := range []prometheus.Collector{m.ok, m.last, m.took, m.identity} {
		_ = m.Registry.Register(c) // it succeeds the first time, and later the metric is registered already
	}
	m.ok.Set(number(r.RoundTrip == nil))
	if r.RoundTrip == nil {
		m.last.Set(float64(now.UnixMilli()) / 1000)
		m.took.Observe(r.Took.Seconds())
	}
	for _, i := range []Identity{CouldNotAsk, Refused, Succeeded} {
		m.identity.WithLabelValues(i.String()).Set(number(r.Identity == i))
	}
}

// EMF is a result in CloudWatch's embedded metric format: a Lambda logs it, and CloudWatch makes metrics of it.
func EMF(r Result, now time.Time) map[string]any {
	unit := func(name, unit string) map[string]string { return map[string]string{"Name": name, "Unit": unit} }
	return map[string]any{
		"_aws": map[string]any{
			"Timestamp": now.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "Redoubt/Canary", "Dimensions": [][]string{{}},
				"Metrics": []any{
					unit("RoundTripOK", "Count"), unit("RoundTripSeconds", "Seconds"),
					unit("DecryptRefused", "Count"), unit("DecryptSucceeded", "Count"),
				},
			}},
		},
		"RoundTripOK":      number(r.RoundTrip == nil),
		"RoundTripSeconds": r.Took.Seconds(),
		"DecryptRefused":   number(r.Identity == Refused),
		"DecryptSucceeded": number(r.Identity == Succeeded),
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
