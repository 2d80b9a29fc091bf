package metrics

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"redoubt/parent/internal/credentials"
	"redoubt/parent/internal/egress"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/lifecycle"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
)

var (
	_ credentials.Observer = (*Metrics)(nil)
	_ egress.Observer      = (*Metrics)(nil)
	_ lifecycle.Observer   = (*Metrics)(nil)
)

// enclaves is a source with one enclave that answers, and one that does not.
type enclaves struct{ stats func(*wire.Stats) }

func (enclaves) Enclaves() []pool.Status {
	return []pool.Status{
		{
			URL: "vsock://16:5050", ID: "i-1", Build: "v1\n\"", Sessions: 2, Ready: 2, Lanes: 4, InFlight: 3, Started: 1500, Restarts: 1,
			Health: wire.HealthReady, ClockOffset: -250 * time.Millisecond,
		},
		{URL: "vsock://17:5050", Silent: time.Minute},
	}
}

func (e enclaves) Stats(_ context.Context, url string, m *wire.Stats) error {
	if url != "vsock://16:5050" {
		return pool.ErrNoneReady
	}
	e.stats(m)
	return nil
}

func TestRequestsAreCountedByRouteStatusAndCode(t *testing.T) {
	m := New("v1")
	// key_denied is there, at zero, before it ever happens: rates and alerts need it.
	want := `redoubt_parent_http_requests_total{code="key_denied",route="/v1/decrypt",status="403"} 0`
	if got := expose(t, m); !strings.Contains(got, want) {
		t.Errorf("%s not exposed", want)
	}
	m.Request(front.RouteV1Decrypt, 403, "key_denied", time.Millisecond, trace.ID{})
	m.Request(front.RouteReady, 503, "not_ready", time.Millisecond, trace.ID{})
	m.BatchItem(403, "key_denied")
	got := expose(t, m)
	for _, want := range []string{
		`redoubt_parent_http_requests_total{code="key_denied",route="/v1/decrypt",status="403"} 1`,
		`redoubt_parent_http_requests_total{code="not_ready",route="/ready",status="503"} 1`,
		`redoubt_parent_batch_items_total{code="key_denied"} 1`,
		`redoubt_parent_http_request_duration_seconds_count{route="/v1/decrypt"} 1`,
		`redoubt_parent_build_info{version="v1"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s not exposed", want)
		}
	}
}

func TestHistogramsAreNativeAndClassic(t *testing.T) {
	m := New("v1")
	m.Request(front.RouteDecrypt, 200, "ok", 3*time.Millisecond, trace.ID{})
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "redoubt_parent_http_request_duration_seconds" {
			continue
		}
		for _, x := range f.GetMetric() {
			if h := x.GetHistogram(); h.GetSampleCount() == 1 {
				if len(h.GetBucket()) == 0 || len(h.GetPositiveSpan()) == 0 {
					t.Errorf("buckets %d, native spans %d", len(h.GetBucket()), len(h.GetPositiveSpan()))
				}
				return
			}
		}
	}
	t.Error("not found")
}

func TestEnclaveStatsAreExposedPerEnclave(t *testing.T) {
	m := New("v1")
	m.AddEnclaves(enclaves{func(s *wire.Stats) {
		s.Add(wire.StatKMSDenied, 4)
		s.Add(wire.StatKeyHits, 9)
		s.Add(wire.StatRequests, 11)
		s.Add(wire.StatGaugeKeys, 7)
		s.Add(wire.StatRequests, 12) // twice: ignored
		s.Add(wire.StatID(120), 1)   // of a newer enclave
		c := s.AddHistogram(wire.StageKMS, 2_500_000, wire.Buckets)
		c[0], c[wire.Buckets-1] = 1, 2
		s.AddHistogram(wire.Stage(99), 1, wire.Buckets)
		s.AddHistogram(wire.StageKey, 1, 3) // another number of buckets
	}})
	got := expose(t, m)
	for _, want := range []string{
		`redoubt_enclave_kms_calls_total{enclave="vsock://16:5050",outcome="denied"} 4`,
		`redoubt_enclave_key_lookups_total{enclave="vsock://16:5050",outcome="hit"} 9`,
		`redoubt_enclave_requests_total{enclave="vsock://16:5050"} 11`,
		`redoubt_enclave_cached_keys{enclave="vsock://16:5050"} 7`,
		`redoubt_enclave_stage_duration_seconds_bucket{enclave="vsock://16:5050",stage="kms",le="1e-06"} 1`,
		`redoubt_enclave_stage_duration_seconds_bucket{enclave="vsock://16:5050",stage="kms",le="+Inf"} 3`,
		`redoubt_enclave_stage_duration_seconds_sum{enclave="vsock://16:5050",stage="kms"} 2.5`,
		`redoubt_enclave_condition{condition="self_test",enclave="vsock://16:5050"} 1`,
		`redoubt_enclave_condition{condition="kms",enclave="vsock://16:5050"} 0`,
		`redoubt_enclave_clock_offset_seconds{enclave="vsock://16:5050"} -0.25`,
		`redoubt_enclave_sessions_open{enclave="vsock://17:5050"} 0`,
		`redoubt_enclave_lanes_open{enclave="vsock://16:5050"} 4`,
		`redoubt_enclave_restarts_total{enclave="vsock://16:5050"} 1`,
		`redoubt_enclave_silent_seconds{enclave="vsock://17:5050"} 60`,
		`redoubt_enclave_info{build="v1??",enclave="vsock://16:5050",id="i-1"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s not exposed", want)
		}
	}
	if strings.Contains(got, `redoubt_enclave_requests_total{enclave="vsock://17`) {
		t.Error("numbers of an enclave that did not answer")
	}
}

func TestEveryStatHasAMetric(t *testing.T) {
	m := New("v1")
	n := 0
	m.AddEnclaves(enclaves{func(s *wire.Stats) {
		for id := range wire.StatID(wire.MaxStats) {
			if id.Known() {
				s.Add(id, 1)
				n++
			}
		}
	}})
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "redoubt_enclave_") || f.GetType() == dto.MetricType_HISTOGRAM {
			continue
		}
		switch f.GetName() {
		case "redoubt_enclave_sessions_open", "redoubt_enclave_sessions_ready", "redoubt_enclave_sessions_in_flight",
			"redoubt_enclave_silent_seconds", "redoubt_enclave_clock_offset_seconds", "redoubt_enclave_start_time_seconds",
			"redoubt_enclave_condition", "redoubt_enclave_info", "redoubt_enclave_lanes_open",
			"redoubt_enclave_restarts_total":
			continue
		}
		exposed += len(f.GetMetric())
	}
	if exposed != n {
		t.Errorf("%d of %d numbers exposed", exposed, n)
	}
}

func TestNamesFollowConvention(t *testing.T) {
	m := New("v1")
	m.AddEnclaves(enclaves{func(s *wire.Stats) {
		for id := range wire.StatID(wire.MaxStats) {
			if id.Known() {
				s.Add(id, 1)
			}
		}
	}})
	problems, err := testutil.GatherAndLint(m.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// expose is what a scrape would see, without metadata.
func expose(t *testing.T, m *Metrics) string {
	t.Helper()
	var b strings.Builder
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

var _ prometheus.Collector = (*collector)(nil)

// What a part of the parent says of a failure moves the metric that shows it, and no other counter.
func TestEachFailureMovesItsMetric(t *testing.T) {
	for want, happens := range map[string]func(*Metrics){
		`connections_shed_total{reason="refused"}`:        func(m *Metrics) { m.ConnectionShed(h1.ShedRefused) },
		`credentials_fetches_total{outcome="failed"}`:     func(m *Metrics) { m.CredentialsFetched(false) },
		`credentials_pushes_total{outcome="failed"}`:      func(m *Metrics) { m.CredentialsPushed(false) },
		`domain_records_total{outcome="failed"}`:          func(m *Metrics) { m.DomainHandedOver(false) },
		`domains_not_kept_total`:                          (*Metrics).DomainNotKept,
		`egress_failures_total`:                           (*Metrics).EgressFailed,
		`egress_refused_total`:                            (*Metrics).EgressRefused,
		`enclave_launches_total{outcome="failed"}`:        func(m *Metrics) { m.Launched(false) },
		`enclave_terminations_total`:                      (*Metrics).Terminated,
		`nitro_cli_failures_total{command="run-enclave"}`: func(m *Metrics) { m.CommandFailed("run-enclave") },
		`purges_total{outcome="failed"}`:                  func(m *Metrics) { m.Purged(false) },
		`requests_not_retried_total`:                      (*Metrics).NotRetried,
		`session_dial_failures_total`:                     (*Metrics).DialFailed,
		`session_panics_total`:                            (*Metrics).SessionPanicked,
		`sessions_lost_total`:                             (*Metrics).SessionLost,
	} {
		m := New("v1")
		before := strings.Split(expose(t, m), "\n")
		happens(m)
		var moved []string
		for _, line := range strings.Split(expose(t, m), "\n") {
			if strings.HasPrefix(line, "redoubt_parent_") && strings.Contains(line, "_total") && !slices.Contains(before, line) {
				moved = append(moved, line)
			}
		}
		if !slices.Equal(moved, []string{"redoubt_parent_" + want + " 1"}) {
			t.Errorf("%s: moved %q", want, moved)
		}
	}
}
