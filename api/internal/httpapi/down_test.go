package httpapi_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// downStore answers every read of a record with an error.
type downStore struct {
	store.Store
	err *error
}

func (s downStore) GetKeyed(ctx, string) (*store.Record, *store.Keys, error) { return nil, nil, *s.err }

func TestAStoreOrKMSThatRefusesUsIsNoErrorOfTheCaller(t *testing.T) {
	var err error
	a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { v.Store = downStore{v.Store, &err} })
	check := func(r *apitest.Answer, code string) {
		t.Helper()
		r.WantStatus(503)
		if !strings.Contains(r.Body, `"code":"`+code+`"`) || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s, Retry-After %q", r.Body, r.Header.Get("Retry-After"))
		}
	}
	for code, cause := range map[string]error{"store_denied": store.ErrDenied, "store_missing": store.ErrMissing} {
		err = fmt.Errorf("dynamo: get (SomeException): %w", cause)
		check(a.Do("GET", "/v1/vaults/v_1", ""), code)
		check(a.Do("DELETE", "/v1/vaults/v_1", `{"delete_all":true}`), code)
	}
	a.World.FailKMS(fmt.Errorf("%w (AccessDeniedException)", kmsclient.ErrDenied))
	check(a.Do("POST", "/v1/vaults", person), "kms_denied")
	if log := a.Log.String(); !strings.Contains(log, "SomeException") || !strings.Contains(log, "AccessDeniedException") {
		t.Errorf("log: %s", log)
	}
}

func TestReadinessGivesTheCauseAndLogsItOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var down error
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Now = func() time.Time { return now }
		h.Checks = []httpapi.Check{{Name: "store", Ask: func(ctx) error { return down }}}
	})
	ask := func(want string) {
		t.Helper()
		for range 3 {
			now = now.Add(time.Second)
			if r := a.Do("GET", "/ready", ""); !strings.Contains(r.Body, `"checks":{"store":"`+want+`"}`) {
				t.Errorf("%s, want %s", r.Body, want)
			}
		}
	}
	logged := func(text string, times int) {
		t.Helper()
		if n := strings.Count(a.Log.String(), text); n != times {
			t.Errorf("%q is in the log %d times, want %d: %s", text, n, times, a.Log)
		}
	}
	ask("ok")
	down = fmt.Errorf("dynamo: get (ExpiredTokenException): %w", store.ErrDenied)
	ask("store_denied")
	logged("ExpiredTokenException", 1)
	down = store.ErrThrottled
	ask("store_throttled")
	down = errors.New("another")
	ask("failed")
	down = nil
	ask("ok")
	logged("readiness check passes again", 1)
	down = fmt.Errorf("dynamo: get (ExpiredTokenException): %w", store.ErrDenied)
	ask("store_denied")
	logged("ExpiredTokenException", 2)
	logged("readiness check failed", 4)
}
