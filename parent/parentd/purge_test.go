package parentd

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
)

func TestAPurgeReachesEveryEnclaveAndSaysWhichConfirmed(t *testing.T) {
	other := fakeenclave.Start(t, nil)
	a, e, log := start(t, "--enclave", other.URL)
	fakeenclave.Wait(t, "both enclaves", func() bool {
		return !slices.ContainsFunc(a.pool.Enclaves(), func(s pool.Status) bool { return s.Sessions == 0 })
	})
	confirmed := `{"enclave":"` + other.URL + `","id":"i-fake","confirmed":true,"keys":2,"contexts":3}`
	for body, vault := range map[string]string{"{}": "", `{"vault_id": "v_sentinel"}`: "v_sentinel"} {
		w := a.ask(http.MethodPost, "/purge", body, here, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), `{"status":"purged","enclaves":[`) ||
			!strings.Contains(w.Body.String(), confirmed) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		for _, f := range []*fakeenclave.Enclave{e, other} {
			if got, ok := f.Purged(); !ok || got != vault {
				t.Errorf("%s: an enclave purged %q, %t", body, got, ok)
			}
		}
	}
	e.Down()
	w := a.ask(http.MethodPost, "/purge", "{}", here, "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"status":"incomplete"`) ||
		!strings.Contains(w.Body.String(), `"confirmed":false`) || !strings.Contains(w.Body.String(), confirmed) {
		t.Errorf("with an enclave that is away: %d %s", w.Code, w.Body)
	}
	exposed := a.ask(http.MethodGet, "/metrics", "", here, "").Body.String()
	for _, want := range []string{`purges_total{outcome="ok"} 2`, `purges_total{outcome="failed"} 1`} {
		if !strings.Contains(exposed, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for want, n := range map[string]int{`"confirmed":2`: 2, `"confirmed":1`: 1, `"one_vault":true`: 1, "v_sentinel": 0} {
		if got := strings.Count(log.String(), want); got != n {
			t.Errorf("the log has %q %d times, want %d", want, got, n)
		}
	}
}

func TestAPurgeOfAnotherFormIsRefusedAndPurgesNothing(t *testing.T) {
	a, e, _ := start(t)
	for _, body := range []string{
		"", "null", "[]", `"v"`, `{"vault_id": ""}`, `{"vault_id": null}`, `{"vaultid": "v"}`, `{"VAULT_ID": "v"}`,
		`{"vault_id": 1}`, `{} {}`,
		`{"vault_id": "` + strings.Repeat("v", wire.MaxVaultID+1) + `"}`, strings.Repeat(" ", maxPurgeBody) + "{}",
	} {
		if w := a.ask(http.MethodPost, "/purge", body, here, ""); w.Code != 400 {
			t.Errorf("%.40s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, header := range [][2]string{
		{"Content-Type", ""},
		{"Content-Type", "text/plain"},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "multipart/form-data"},
		{"Content-Encoding", "gzip"},
		{"Content-Encoding", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/purge", strings.NewReader("{}"))
		r.RemoteAddr, r.Host = here, "localhost"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(header[0], header[1])
		w := httptest.NewRecorder()
		a.operate().ServeHTTP(w, r)
		if w.Code != 415 {
			t.Errorf("%q: %d", header, w.Code)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions} {
		w := a.ask(method, "/purge", "{}", here, "")
		if w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if _, ok := e.Purged(); ok {
		t.Error("something was purged")
	}
}
