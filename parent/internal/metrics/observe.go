package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redoubt/parent/internal/front"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Request implements front.Observer. For the usual outcomes without an exemplar it allocates nothing.
func (m *Metrics) Request(r front.Route, status int, code string, took time.Duration, exemplar trace.ID) {
	if exemplar == (trace.ID{}) {
		m.durations[r].Observe(took.Seconds())
	} else {
		m.durations[r].ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": exemplar.String()})
	}
	if c, ok := m.known[outcome{r, status, code}]; ok {
		c.Inc()
		return
	}
	m.requests.WithLabelValues(r.String(), itoa(status), code).Inc()
}

// BatchItem implements front.Observer.
func (m *Metrics) BatchItem(_ int, code string) { m.items.WithLabelValues(code).Inc() }

// ConnectionShed implements front.Observer.
func (m *Metrics) ConnectionShed(s h1.Shed) { m.shed[s].Inc() }

// SessionOpened implements pool.Observer.
func (m *Metrics) SessionOpened() { m.opened.Inc() }

// SessionLost implements pool.Observer.
func (m *Metrics) SessionLost() { m.lost.Inc() }

// SessionPanicked implements pool.Observer.
func (m *Metrics) SessionPanicked() { m.sessionPanics.Inc() }

// DialFailed implements pool.Observer.
func (m *Metrics) DialFailed() { m.dialFailed.Inc() }

// Retried implements pool.Observer.
func (m *Metrics) Retried() { m.retried.Inc() }

// NotRetried implements pool.Observer.
func (m *Metrics) NotRetried() { m.notRetried.Inc() }

// DomainHandedOver implements pool.Observer.
func (m *Metrics) DomainHandedOver(ok bool) { m.handOvers.WithLabelValues(word(ok)).Inc() }

// DomainNotKept implements pool.Observer.
func (m *Metrics) DomainNotKept() { m.notKept.Inc() }

// PingTook implements pool.Observer.
func (m *Metrics) PingTook(d time.Duration) { m.ping.Observe(d.Seconds()) }

// CredentialsPushed implements pool.Observer.
func (m *Metrics) CredentialsPushed(ok bool) { m.pushes.WithLabelValues(word(ok)).Inc() }

// CredentialsFetched implements credentials.Observer.
func (m *Metrics) CredentialsFetched(ok bool) { m.fetches.WithLabelValues(word(ok)).Inc() }

// EgressOpened implements egress.Observer.
func (m *Metrics) EgressOpened() {
	m.egressOpened.Inc()
	m.egressOpen.Inc()
}

// EgressClosed implements egress.Observer.
func (m *Metrics) EgressClosed() { m.egressOpen.Dec() }

// EgressRefused implements egress.Observer.
func (m *Metrics) EgressRefused() { m.egressRefused.Inc() }

// EgressFailed implements egress.Observer.
func (m *Metrics) EgressFailed() { m.egressFailed.Inc() }

// EgressBytes implements egress.Observer.
func (m *Metrics) EgressBytes(sent, received int) {
	m.egressSent.Add(float64(sent))
	m.egressReceived.Add(float64(received))
}

// Launched implements lifecycle.Observer.
func (m *Metrics) Launched(ok bool) { m.launches.WithLabelValues(word(ok)).Inc() }

// Terminated implements lifecycle.Observer.
func (m *Metrics) Terminated() { m.ended.Inc() }

// CommandFailed implements lifecycle.Observer; command is one of nitro-cli's that we use.
func (m *Metrics) CommandFailed(command string) { m.commands.WithLabelValues(command).Inc() }

// Purged counts purges. ok says that every enclave confirmed.
func (m *Metrics) Purged(ok bool) { m.purges.WithLabelValues(word(ok)).Inc() }

func word(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}
