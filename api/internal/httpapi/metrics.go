package httpapi

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"redoubt/api/internal/vault"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
)

// Metrics are the API's metrics. Label values are bounded: routes by pattern, codes from this package's tables.
type Metrics struct {
	Registry *prometheus.Registry

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	calls    *prometheus.HistogramVec
	audits   *prometheus.CounterVec
	shed     *prometheus.CounterVec
	damaged  func() uint64
	apart    func() uint64
	keyed    func() vault.Counts
	full     func() bool
	also     Recorder
}

// NewMetrics makes a registry with the API's metrics, the process's and Go's.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(), also: nobody{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redoubt_api_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redoubt_api_request_duration_seconds", Help: "Time to the answer.",
			Buckets:                     prometheus.ExponentialBuckets(0.00025, 2, 16),
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redoubt_api_requests_in_flight", Help: "Requests in work.",
		}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "redoubt_api_dependency_duration_seconds",
			Help:    "Time that calls of `store`, `kms` and `parent` take.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16), NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"dependency", "operation", "outcome"}),
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redoubt_api_audit_entries_total",
			Help: "Audit entries given to the store. `refused`: the write that carries it was refused for what it is " +
				"(a conflict, say), and is tried again or has an entry of its own. " +
				"What could not be stored was not let out.",
		}, []string{"event", "outcome"}),
	}
	m.shed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "redoubt_api_connections_shed_total",
		Help: "Connections that were ended or refused because `--max-connections` were open.",
	}, []string{"reason"})
	for why := range h1.Sheds {
		m.shed.WithLabelValues(why.String())
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "redoubt_api_build_info", Help: "Always 1; the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.Registry.MustRegister(m.requests, m.seconds, m.inFlight, m.calls, m.audits, m.damages(), m.inconsistencies(),
		m.keys(),
		m.fullness(), m.shed, info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Damaged sets the function that counts how often a record or an audit entry was met that cannot be read. It is
// called before the registry is read.
func (m *Metrics) Damaged(count func() uint64) { m.damaged = count }

func (m *Metrics) damages() prometheus.Collector {
	m.damaged = func() uint64 { return 0 }
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "redoubt_api_store_damaged_total",
		Help: "How often the embedded store met a record or an audit entry that cannot be read.",
	}, func() float64 { return float64(m.damaged()) })
}

// Inconsistent sets the function that counts how often a record was met whose key is not in its key item. It is called
// before the registry is read.
func (m *Metrics) Inconsistent(count func() uint64) { m.apart = count }

func (m *Metrics) inconsistencies() prometheus.Collector {
	m.apart = func() uint64 { return 0 }
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "redoubt_api_store_inconsistent_total",
		Help: "How often a record under a domain was met whose key is not among its vault's keys.",
	}, func() float64 { return float64(m.apart()) })
}

// Keyed sets the function that counts what became of vaults under domains. It is called before the registry is read.
func (m *Metrics) Keyed(count func() vault.Counts) { m.keyed = count }

// keyedMetrics are the numbers of vault.Counts.
var keyedMetrics = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*vault.Counts) uint64
}{
	{
		keyedDesc("vault_keys_pooled", "Keys that wait for a new vault under the domain."), prometheus.GaugeValue,
		func(c *vault.Counts) uint64 { return uint64(c.Pooled) },
	},
	{
		keyedDesc("vault_keys_minted_total", "Keys of new vaults that the enclave made and the API believed."),
		prometheus.CounterValue, func(c *vault.Counts) uint64 { return c.Minted },
	},
	{keyedDesc("vault_key_mints_failed_total", "Requests for keys of new vaults that failed, or whose answer was not "+
		"believed."), prometheus.CounterValue, func(c *vault.Counts) uint64 { return c.MintFailures }},
	{
		keyedDesc("vaults_resealed_total", "Vaults that got a new key, also within a write to an earlier generation."),
		prometheus.CounterValue, func(c *vault.Counts) uint64 { return c.Reseals },
	},
	{keyedDesc("vault_reseals_failed_total", "Moves of a vault to a new key that failed, or whose answer was not "+
		"believed."), prometheus.CounterValue, func(c *vault.Counts) uint64 { return c.ResealFailures }},
	{
		keyedDesc("vaults_erased_total", "Vaults that were erased with their keys."), prometheus.CounterValue,
		func(c *vault.Counts) uint64 { return c.Erases },
	},
}

func keyedDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("redoubt_api_"+name, help, nil, nil)
}

// keyedCollector reads all numbers at once.
type keyedCollector struct{ m *Metrics }

func (m *Metrics) keys() prometheus.Collector {
	m.keyed = func() vault.Counts { return vault.Counts{} }
	return keyedCollector{m}
}

// Describe implements prometheus.Collector.
func (keyedCollector) Describe(to chan<- *prometheus.Desc) {
	for i := range keyedMetrics {
		to <- keyedMetrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (k keyedCollector) Collect(to chan<- prometheus.Metric) {
	counts := k.m.keyed()
	for i := range keyedMetrics {
		v := &keyedMetrics[i]
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, float64(v.of(&counts)))
	}
}

// ConnectionShed counts a connection that ended, or was not accepted, for want of room.
func (m *Metrics) ConnectionShed(why h1.Shed) { m.shed.WithLabelValues(why.String()).Inc() }

// Full sets the function that reports whether the store has room for its reserve alone. It is called before the
// registry is read.
func (m *Metrics) Full(full func() bool) { m.full = full }

func (m *Metrics) fullness() prometheus.Collector {
	m.full = func() bool { return false }
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "redoubt_api_store_full",
		Help: "1 while the embedded store has only its reserve left, which is for removals and the audit of reads.",
	}, func() float64 {
		if m.full() {
			return 1
		}
		return 0
	})
}

// begin counts a request as in flight.
func (m *Metrics) begin() { m.inFlight.Inc() }

// end counts a request as answered. An exemplar is the trace of a sampled request, and otherwise zero.
func (m *Metrics) end(route, method string, status int, code string, took time.Duration, ex trace.ID) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(route, method, strconv.Itoa(status), code).Inc()
	observe(m.seconds.WithLabelValues(route, method), took, ex)
	m.also.Request(route, method, status, code, took)
}

// observe records a time, with the trace that is an example of it.
func observe(o prometheus.Observer, took time.Duration, exemplar trace.ID) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && exemplar != (trace.ID{}) {
		with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": exemplar.String()})
		return
	}
	o.Observe(took.Seconds())
}

// Call is a running call of a dependency. Done must be called once.
type Call struct {
	ctx                   context.Context //nolint:containedctx // of the call's caller
	metrics               *Metrics
	dependency, operation string
	start                 time.Time
	end                   func(failed bool, outcome string)
}

// Call begins a call of a dependency, which must use the returned context. The call is measured, and is a span of
// ctx's request.
func (m *Metrics) Call(ctx context.Context, dependency, operation string) (context.Context, Call) {
	c := Call{ctx: ctx, metrics: m, dependency: dependency, operation: operation, start: time.Now()}
	name := operation
	if trace.From(ctx).Recorded() {
		name = dependency + " " + operation
	}
	called, end := trace.Step(ctx, trace.KindClient, name)
	c.end = end
	return called, c
}

// Done records the outcome, a static word.
func (c Call) Done(outcome string) {
	if !expected[outcome] && gone(c.ctx) {
		outcome = codeCanceled // by our caller: the dependency is not to blame
	}
	var exemplar trace.ID
	if r := trace.From(c.ctx); r != nil && r.Sampled {
		exemplar = r.Trace
	}
	took := time.Since(c.start)
	observe(c.metrics.calls.WithLabelValues(c.dependency, c.operation, outcome), took, exemplar)
	c.metrics.also.Call(c.dependency, c.operation, outcome, took)
	c.end(!expected[outcome], outcome)
}

// expected are the outcomes of calls that are not a failure of the dependency.
var expected = map[string]bool{
	"ok": true, "not_found": true, "exists": true, "conflict": true, "cursor": true, "too_large": true,
	"erased": true, "keyed": true, "epochs": true, "epochs_full": true,
	codeCanceled: true,
}

// Recorder gets everything that is counted, beside the registry. Where nothing scrapes, it sends the numbers on.
// Arguments are from the same closed sets as the labels. It must not block, and is called concurrently.
type Recorder interface {
	// Request records an answer and the time it took.
	Request(route, method string, status int, code string, took time.Duration)
	// Call records a call of a dependency.
	Call(dependency, operation, outcome string, took time.Duration)
	// Audit records an audit entry given to the store. outcome is ok, or why it was not stored.
	Audit(event, outcome string)
}

// Tell makes r get everything that is counted from now on. Call it before the metrics are used.
func (m *Metrics) Tell(r Recorder) { m.also = r }

// Audit counts an audit entry: its event, and ok or why it was not stored. Both are static words.
func (m *Metrics) Audit(event, outcome string) {
	m.audits.WithLabelValues(event, outcome).Inc()
	m.also.Audit(event, outcome)
}

// nobody is the Recorder that discards everything.
type nobody struct{}

func (nobody) Request(string, string, int, string, time.Duration) {}
func (nobody) Call(string, string, string, time.Duration)         {}
func (nobody) Audit(string, string)                               {}
