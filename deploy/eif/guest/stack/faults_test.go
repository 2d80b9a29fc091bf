//go:build guest

package stack

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"redoubt/deploy/eif/guest/check"
	"redoubt/wire/kit/sealed"
)

func (s *stack) london(t *testing.T, id string, suite sealed.Suite) *check.Request {
	t.Helper()
	v, err := s.NewVault(t.Context(), id, suite, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Seal(3, map[string]string{"city": "London"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wrongVaultIsRefused moves a wrapped key to another vault: KMS denies it by the encryption context.
func (s *stack) wrongVaultIsRefused(t *testing.T) {
	r := s.london(t, "v_owner", sealed.P384)
	r.VaultID = "v_thief"
	a, err := s.Open(t.Context(), "/v1/decrypt", r)
	if err != nil || a.Status != http.StatusForbidden || a.Code != "key_denied" {
		t.Errorf("%+v, %v", a, err)
	}
}

// links are the sessions and what was carried for the enclave, as the parent and the enclave count them.
func (s *stack) links(t *testing.T) {
	for _, m := range []struct {
		name, label string
		least, most float64
	}{
		{"redoubt_enclave_sessions_open", "", 2, 2},
		{"redoubt_enclave_sessions_ready", "", 2, 2},
		{"redoubt_parent_sessions_opened_total", "", 2, 100},
		{"redoubt_parent_egress_connections_total", "", 1, 1000},
		{"redoubt_parent_egress_bytes_total", "", 10_000, 1e8},
		{"redoubt_parent_egress_refused_total", "", 0, 0},
		{"redoubt_enclave_panics_total", "", 0, 0},
		{"redoubt_enclave_condition", `"clock"`, 1, 1},
		{"redoubt_enclave_condition", `"entropy"`, 1, 1},
	} {
		got, err := s.Metric(t.Context(), metricsURL, m.name, m.label)
		if err != nil || got < m.least || got > m.most {
			t.Errorf("%s %s is %v, want %v to %v; %v", m.name, m.label, got, m.least, m.most, err)
		}
	}
}

// kill ends the enclave as a crash would and starts it again with the configuration as it is now.
func (s *stack) kill(t *testing.T) {
	t.Helper()
	if err := s.enclave.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.enclave.Wait()
	s.startEnclave()
}

// answered polls until the request is answered with its value.
func (s *stack) answered(t *testing.T, r *check.Request) {
	t.Helper()
	began, deadline := time.Now(), time.Now().Add(time.Minute)
	for {
		a, err := s.Open(t.Context(), "/v1/decrypt", r)
		if err == nil && a.Status == http.StatusOK && a.Fields["city"] == "London" {
			t.Logf("answered %v after the restart", time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer within a minute of the restart: %+v, %v", a, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("test ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *stack) restart(t *testing.T) {
	r := s.london(t, "v_restart", sealed.P256)
	s.kill(t)
	s.answered(t, r)
}

// otherCID starts the enclave for a parent that this one is not: it must close each connection without a byte.
func (s *stack) otherCID(t *testing.T) {
	r := s.london(t, "v_cid", sealed.P256)
	s.configure(t, cid+2, s.clock)
	s.kill(t)
	c := s.dialEnclave(t)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if said, _ := io.ReadAll(c); len(said) > 0 {
		t.Errorf("the enclave of another parent said %d bytes", len(said))
	}
	if a, err := s.Open(t.Context(), "/v1/decrypt", r); err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("through an enclave of another parent: %+v, %v", a, err)
	}
	s.configure(t, cid, s.clock)
	s.kill(t)
	s.answered(t, r)
}

// untrustedClock starts the enclave with a list of clock sources that this machine's is not on: it says so itself, of
// the clock and of nothing else, the parent is not ready and names the clock, and what is asked of it is refused.
func (s *stack) untrustedClock(t *testing.T) {
	r := s.london(t, "v_clock", sealed.P256)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s.configure(t, cid, "a-source-that-is-none")
	s.kill(t)
	s.waitForMetric(t, ctx, "redoubt_enclave_condition", `"kms"`, 1)
	s.waitForMetric(t, ctx, "redoubt_enclave_condition", `"entropy"`, 1)
	s.waitForMetric(t, ctx, "redoubt_enclave_condition", `"clock"`, 0)
	for { // the first answers may still be of the enclave before, or of none
		status, failing, err := s.Ready(ctx)
		if err == nil && status == http.StatusServiceUnavailable && slices.Equal(failing, []string{"enclave_ready", "clock"}) {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("/ready: %d, failing %v, %v", status, failing, err)
		}
	}
	if a, err := s.Open(ctx, "/v1/decrypt", r); err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("through an enclave whose clock is not trusted: %+v, %v", a, err)
	}
	s.configure(t, cid, s.clock)
	s.kill(t)
	s.waitForMetric(t, ctx, "redoubt_enclave_condition", `"clock"`, 1)
	s.answered(t, r)
}

func (s *stack) waitForMetric(t *testing.T, ctx context.Context, name, label string, want float64) {
	t.Helper()
	for {
		got, err := s.Metric(ctx, metricsURL, name, label)
		if err == nil && got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s %s is %v, want %v; %v", name, label, got, want, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
