package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
)

// statsTimeout bounds how long a scrape waits for an enclave's numbers.
const statsTimeout = time.Second

// Enclaves is what the collector reads: the pool.
type Enclaves interface {
	Enclaves() []pool.Status
	Stats(ctx context.Context, url string, m *wire.Stats) error
}

// family is a metric of an enclave, fed by one number, or by several that a label distinguishes.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// collector turns the state of enclaves into metrics on demand. An enclave that is gone has no metrics.
type collector struct {
	source Enclaves

	up, ready, lanes, inFlight, silent, restarts *prometheus.Desc
	offset, started, health, info, stage         *prometheus.Desc

	families map[string]family
}

// AddEnclaves exposes the enclaves of source.
func (m *Metrics) AddEnclaves(source Enclaves) {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("redoubt_enclave_"+name, help, append([]string{"enclave"}, labels...), nil)
	}
	c := &collector{
		source: source,
		up:     d("sessions_open", "Sessions from this parent that are open."),
		ready:  d("sessions_ready", "Open sessions of this parent with an enclave that is ready."),
		lanes:  d("lanes_open", "Open lanes of this parent's sessions, for single requests and for batches."),
		restarts: d("restarts_total", "Times that another process was found at the enclave's address. "+
			"nitro-cli gives each launch an address of its own: there `redoubt_parent_enclave_launches_total` tells."),
		inFlight: d("sessions_in_flight", "Requests of this parent in flight."),
		silent:   d("silent_seconds", "Time since the enclave last answered a ping."),
		offset:   d("clock_offset_seconds", "The enclave's clock minus this host's."),
		started:  d("start_time_seconds", "When the enclave started, by its own clock, in Unix time."),
		health:   d("condition", "Whether a condition holds, as the enclave reports: 1 yes, 0 no.", "condition"),
		info:     d("info", "Always 1. The labels are the id and the build that the enclave reports.", "id", "build"),
		stage:    d("stage_duration_seconds", "Time that each stage of a request takes inside the enclave.", "stage"),
		families: map[string]family{},
	}
	for id := range wire.StatID(wire.MaxStats) {
		if !id.Known() {
			continue
		}
		info, labels := id.Info(), []string(nil)
		if info.Label != "" {
			labels = []string{info.Label}
		}
		f := family{kind: prometheus.CounterValue}
		if id.Gauge() {
			f.kind = prometheus.GaugeValue
		}
		f.desc = d(metricOf(id), info.Help, labels...)
		c.families[metricOf(id)] = f
	}
	m.Registry.MustRegister(c)
}

// metricOf is the name of the metric to which a number belongs, without the prefix.
func metricOf(id wire.StatID) string {
	if id.Gauge() {
		return id.Info().Family
	}
	return id.Info().Family + "_total"
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.up, c.ready, c.lanes, c.restarts, c.inFlight, c.silent, c.offset, c.started, c.health, c.info, c.stage,
	} {
		ch <- d
	}
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range c.source.Enclaves() {
		c.status(ch, s)
		if s.Sessions == 0 {
			continue
		}
		wg.Go(func() {
			var m wire.Stats
			if c.source.Stats(ctx, s.URL, &m) == nil {
				c.stats(ch, s.URL, &m)
			}
		})
	}
	wg.Wait()
}

func (c *collector) status(ch chan<- prometheus.Metric, s pool.Status) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{s.URL}, labels...)...)
	}
	gauge(c.up, float64(s.Sessions))
	gauge(c.ready, float64(s.Ready))
	gauge(c.lanes, float64(s.Lanes))
	ch <- prometheus.MustNewConstMetric(c.restarts, prometheus.CounterValue, float64(s.Restarts), s.URL)
	gauge(c.inFlight, float64(s.InFlight))
	gauge(c.silent, s.Silent.Seconds())
	if s.Sessions == 0 {
		return
	}
	gauge(c.offset, s.ClockOffset.Seconds())
	gauge(c.started, float64(s.Started)/1000)
	gauge(c.info, 1, clean(s.ID), clean(s.Build))
	for rest := wire.AllHealth(); rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		v := 0.0
		if s.Health.Has(bit) {
			v = 1
		}
		gauge(c.health, v, bit.Name())
	}
}

// clean limits an enclave's own words to what a label may be.
func clean(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			b[i] = '?'
		}
	}
	return string(b)
}

func (c *collector) stats(ch chan<- prometheus.Metric, url string, m *wire.Stats) {
	seen := map[wire.StatID]bool{}
	for _, v := range m.Values {
		if !v.ID.Known() || seen[v.ID] {
			continue // from a newer enclave, or a duplicate: a scrape must not fail because of it
		}
		seen[v.ID] = true
		labels := []string{url}
		if info := v.ID.Info(); info.Label != "" {
			labels = append(labels, info.Value)
		}
		f := c.families[metricOf(v.ID)]
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(v.Value), labels...)
	}
	c.stages(ch, url, m)
}
