package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"redoubt/parent/internal/probe"
)

// Probed counts a probe. It is the observer of package probe.
func (m *Metrics) Probed(outcome string) { m.probes.WithLabelValues(outcome).Inc() }

// Probes is what the collector of probe keys reads.
type Probes interface {
	States() []probe.State
}

type probeCollector struct {
	source Probes
	desc   *prometheus.Desc
}

// AddProbe exposes whether KMS opens the probe keys. A parent without one does not have the metric.
func (m *Metrics) AddProbe(source Probes) {
	m.Registry.MustRegister(&probeCollector{source, prometheus.NewDesc(Namespace+"_probe_ok",
		"1 when every enclave here opened the region's probe key by KMS when last asked. Only with `--probe-file`.",
		[]string{"region"}, nil)})
}

// Describe implements prometheus.Collector.
func (c *probeCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector. If a region has several keys, the worst counts.
func (c *probeCollector) Collect(ch chan<- prometheus.Metric) {
	regions := map[string]float64{}
	for _, s := range c.source.States() {
		v, seen := regions[s.Region]
		if !s.OK() {
			regions[s.Region] = 0
		} else if !seen || v == 1 {
			regions[s.Region] = 1
		}
	}
	for region, v := range regions {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, v, region)
	}
}
