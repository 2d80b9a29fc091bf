// Package metrics counts the parent's work, and exposes to Prometheus these counts and what enclaves report of
// themselves.
//
// Label values are closed sets: routes, codes and statuses of the server, the enclaves of this host (only those that
// exist now), stages and outcomes of the wire protocol. No label and no value depends on the content of a request.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"redoubt/parent/internal/front"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/h1"
)

// Namespace begins the name of each of the parent's metrics.
const Namespace = "redoubt_parent"

// latency has the buckets in seconds: a hot field takes a tenth of a millisecond, a cold one a few tenths, KMS ten
// milliseconds and more.
var latency = []float64{
	.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30,
}

// Metrics is the parent's registry. It implements the Observer of front, pool, egress, credentials and lifecycle.
type Metrics struct {
	Registry *prometheus.Registry

	requests  *prometheus.CounterVec
	known     map[outcome]prometheus.Counter // for the usual outcomes of requests
	durations [front.Routes]latencyHistogram
	items     *prometheus.CounterVec
	shed      [h1.Sheds]prometheus.Counter

	opened, lost, dialFailed, retried prometheus.Counter
	notRetried, sessionPanics         prometheus.Counter
	ping                              prometheus.Observer
	pushes, fetches, handOvers        *prometheus.CounterVec
	notKept                           prometheus.Counter

	egressOpened, egressRefused, egressFailed prometheus.Counter
	egressOpen                                prometheus.Gauge
	egressBytes                               *prometheus.CounterVec
	egressSent, egressReceived                prometheus.Counter

	launches, commands *prometheus.CounterVec
	ended              prometheus.Counter

	purges, probes *prometheus.CounterVec
}

// latencyHistogram is the interface of client_golang's histograms.
type latencyHistogram interface {
	prometheus.Observer
	prometheus.ExemplarObserver
}

// outcome of a request.
type outcome struct {
	route  front.Route
	status int
	code   string
}

// New makes a registry with all metrics at zero. build is the version to show.
func New(build string) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry(), known: map[outcome]prometheus.Counter{}}
	m.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.gauge("build_info", "Always 1; the version as a label.", prometheus.Labels{"version": build}).Set(1)
	m.http()
	m.sessions()
	m.host()
	return m
}

func (m *Metrics) http() {
	m.requests = m.counters("http_requests_total",
		"Requests answered. `code` is `ok` or the code of the error.",
		"route", "status", "code")
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: Namespace, Name: "http_request_duration_seconds",
		Help:    "Time from a request's header to its answer being ready.",
		Buckets: latency, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"route"})
	m.Registry.MustRegister(durations)
	for r := range front.Route(front.Routes) {
		m.durations[r] = durations.WithLabelValues(r.String()).(latencyHistogram) //nolint:forcetypeassert // a histogram
	}
	shed := m.counters("connections_shed_total", "Connections for which there was no room at `--max-connections`: "+
		"a `stranger` or an `idle_caller` ended to make room, or a new one was `refused`.", "reason")
	for r := range h1.Sheds {
		m.shed[r] = shed.WithLabelValues(r.String())
	}
	m.items = m.counters("batch_items_total", "Items of batches answered.", "code")
	for c := range wire.Code(wire.Codes) {
		m.items.WithLabelValues(c.String())
		for _, r := range []front.Route{front.RouteDecrypt, front.RouteV1Decrypt} {
			o := outcome{r, front.StatusOf(c), c.String()}
			m.known[o] = m.requests.WithLabelValues(r.String(), itoa(o.status), o.code)
		}
	}
	for _, r := range []front.Route{
		front.RouteBatch, front.RouteDomains, front.RouteDomainWrap, front.RouteVaultKeys, front.RouteReseal,
	} {
		o := outcome{r, 200, wire.OK.String()}
		m.known[o] = m.requests.WithLabelValues(o.route.String(), itoa(o.status), o.code)
	}
}

func (m *Metrics) sessions() {
	m.opened = m.counter("sessions_opened_total", "Sessions to enclaves that were opened.")
	m.sessionPanics = m.counter("session_panics_total",
		"Panics in a session that were caught. That session ended; the others went on.")
	m.lost = m.counter("sessions_lost_total", "Sessions to enclaves that ended.")
	m.dialFailed = m.counter("session_dial_failures_total", "Attempts to open a session that failed.")
	m.retried = m.counter("requests_retried_total", "Requests sent again because their session ended.")
	m.notRetried = m.counter("requests_not_retried_total",
		"Requests answered 504, because their session stalled or a second session ended. They are not sent again.")
	m.handOvers = m.counters("domain_records_total", "Requests whose domain an enclave lacked and whose record of it was "+
		"handed over. `failed`: the enclave did not open the domain.", "outcome")
	preset(m.handOvers, "ok", "failed")
	m.notKept = m.counter("domains_not_kept_total", "Requests answered 503 `domain_not_kept`: an enclave took the "+
		"domain's record, and then said again that it does not know the domain.")
	ping := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: Namespace, Name: "ping_duration_seconds", Help: "Time of a ping to an enclave and its answer.",
		Buckets: latency, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		NativeHistogramMinResetDuration: time.Hour,
	})
	m.Registry.MustRegister(ping)
	m.ping = ping
	m.pushes = m.counters("credentials_pushes_total", "Credentials given to enclaves.", "outcome")
	m.fetches = m.counters("credentials_fetches_total", "Credentials fetched from their source.", "outcome")
	preset(m.pushes, "ok", "failed")
	preset(m.fetches, "ok", "failed")
}

func (m *Metrics) host() {
	m.egressOpened = m.counter("egress_connections_total", "Connections to KMS made for enclaves.")
	m.egressRefused = m.counter("egress_refused_total",
		"Connections refused to enclaves: the host is not on the allow list, or there are too many connections.")
	m.egressFailed = m.counter("egress_failures_total", "Connections to KMS that could not be made.")
	m.egressOpen = m.gauge("egress_connections", "Connections of enclaves to KMS that are open.", nil)
	m.egressBytes = m.counters("egress_bytes_total", "Bytes carried between enclaves and KMS.", "direction")
	m.egressSent = m.egressBytes.WithLabelValues("sent")
	m.egressReceived = m.egressBytes.WithLabelValues("received")
	m.launches = m.counters("enclave_launches_total", "Enclaves started with nitro-cli.", "outcome")
	m.commands = m.counters("nitro_cli_failures_total", "Runs of nitro-cli that failed.", "command")
	m.ended = m.counter("enclave_terminations_total", "Enclaves ended because they did not answer, or "+
		"because they run another image than is allowed or in debug mode.")
	m.purges = m.counters("purges_total",
		"Purges of the enclaves' caches that this parent was asked for. `failed`: some enclave did not confirm.", "outcome")
	m.probes = m.counters("probes_total",
		"Attempts of an enclave to open a probe key. `outcome` is `ok` or the code of the error.", "outcome")
	preset(m.launches, "ok", "failed")
	preset(m.probes, "ok", "key_denied")
	preset(m.purges, "ok", "failed")
	preset(m.commands, "describe-enclaves", "run-enclave", "terminate-enclave")
}

func preset(v *prometheus.CounterVec, values ...string) {
	for _, s := range values {
		v.WithLabelValues(s)
	}
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: Namespace, Name: name, Help: help})
	m.Registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: Namespace, Name: name, Help: help}, labels)
	m.Registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, constant prometheus.Labels) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: Namespace, Name: name, Help: help, ConstLabels: constant,
	})
	m.Registry.MustRegister(g)
	return g
}

var (
	_ front.Observer = (*Metrics)(nil)
	_ pool.Observer  = (*Metrics)(nil)
)
