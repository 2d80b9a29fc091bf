package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"redoubt/api/internal/vault"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/test/pages"
	"redoubt/wire/kit/trace"
	"redoubt/wire/kit/trace/otlp"
)

// counted are metrics in which each vector has a member.
func counted(t *testing.T) *Metrics {
	t.Helper()
	m := NewMetrics("v1")
	m.begin()
	m.end("/vaults", "GET", http.StatusOK, "ok", time.Millisecond, trace.ID{})
	_, call := m.Call(t.Context(), "store", "list")
	call.Done("ok")
	m.Audit("DecryptVault", "ok")
	spans, err := otlp.New(otlp.Options{Endpoint: "http://127.0.0.1:1", Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spans.Close(t.Context()) })
	m.Registry.MustRegister(spans.Collectors("redoubt_api")...)
	return m
}

func TestTheDocumentListsEveryMetric(t *testing.T) {
	families := pages.Families(t, counted(t).Registry, "redoubt_")
	for _, f := range families {
		for name := range f.Labels {
			if name != "reason" { // the others have more values than one request shows
				f.Labels[name] = nil
			}
		}
	}
	pages.Metrics(t, "API", families)
}

func TestNamesFollowConvention(t *testing.T) {
	problems, err := testutil.GatherAndLint(counted(t).Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHistogramsAreNativeAndClassic(t *testing.T) {
	families, err := counted(t).Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range families {
		if h := f.GetMetric()[0].GetHistogram(); h != nil && strings.HasPrefix(f.GetName(), "redoubt_") {
			found++
			if len(h.GetBucket()) == 0 || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("%s: buckets %d, native spans %d", f.GetName(), len(h.GetBucket()), len(h.GetPositiveSpan()))
			}
		}
	}
	if found != 2 {
		t.Errorf("%d histograms", found)
	}
}

// What the API's parts count of failures moves the metric that shows it, and no other of these.
func TestEachFailureMovesItsMetric(t *testing.T) {
	one := func() uint64 { return 1 }
	for want, happens := range map[string]func(*Metrics){
		`connections_shed_total{reason="refused"}`: func(m *Metrics) { m.ConnectionShed(h1.ShedRefused) },
		"store_damaged_total":                      func(m *Metrics) { m.Damaged(one) },
		"store_inconsistent_total":                 func(m *Metrics) { m.Inconsistent(one) },
		"vault_key_mints_failed_total": func(m *Metrics) {
			m.Keyed(func() vault.Counts { return vault.Counts{MintFailures: 1} })
		},
		"vault_reseals_failed_total": func(m *Metrics) {
			m.Keyed(func() vault.Counts { return vault.Counts{ResealFailures: 1} })
		},
	} {
		m := NewMetrics("v1")
		happens(m)
		families, err := m.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var moved []string
		for _, family := range families {
			for _, sample := range family.GetMetric() {
				name, ours := strings.CutPrefix(family.GetName(), "redoubt_api_")
				if !ours || sample.GetCounter().GetValue() == 0 {
					continue
				}
				for _, label := range sample.GetLabel() {
					name += "{" + label.GetName() + "=\"" + label.GetValue() + "\"}"
				}
				moved = append(moved, name)
			}
		}
		if !slices.Equal(moved, []string{want}) {
			t.Errorf("%s: moved %q", want, moved)
		}
	}
}
