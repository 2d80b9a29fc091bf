package lifecycle

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// victim is an enclave that should be ended, with the reason.
type victim struct {
	Enclave
	why string
}

// reap ends one enclave that can never be used or has not answered for long, if the pace allows it. It reports
// whether it did.
func (m *Manager) reap(ctx context.Context, ours []Enclave) bool {
	now := time.Now()
	victims := append(m.useless(ours), m.wedged(ours, now)...)
	if len(victims) == 0 {
		m.reaps.well(now)
		return false
	}
	v := victims[m.reaps.spent%len(victims)] // in turn, so that one that cannot be ended does not block the others
	if !m.reaps.take(now) {
		return false
	}
	m.o.Log.Warn("enclave is ended", slog.String("name", v.Name), slog.String("enclave", m.url(v.Enclave)),
		slog.String("cause", v.why))
	if err := m.o.CLI.Terminate(ctx, v.ID); err != nil {
		m.failed(ctx, cmdTerminate, err)
		return false
	}
	m.o.Observer.Terminated()
	return true
}

// useless lists our enclaves that run but may not be trusted.
func (m *Manager) useless(ours []Enclave) (out []victim) {
	for _, e := range ours {
		if e.unfit(m.o.Name, m.o.Measurements) {
			out = append(out, victim{e, "it may not be trusted: " + e.flaw(m.o.Measurements)})
		}
	}
	return out
}

// wedged lists the enclaves that have not answered for long. While none could be replaced it lists none, since they
// may recover.
func (m *Manager) wedged(ours []Enclave, now time.Time) (out []victim) {
	if !m.pace.ready(now) {
		return nil
	}
	for _, s := range m.o.Pool.Enclaves() {
		i := slices.IndexFunc(ours, func(e Enclave) bool {
			return e.usable(m.o.Name, m.o.Measurements) && m.url(e) == s.URL
		})
		if i >= 0 && s.Silent >= WedgedAfter {
			out = append(out, victim{ours[i], "it does not answer"})
		}
	}
	return out
}
