package kms

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAPingIsNoCall: the enclave's look at whether KMS is there is answered, and shows neither in the log nor among the
// calls.
func TestAPingIsNoCall(t *testing.T) {
	r := newRig(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/ping", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(body) != "healthy" {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	if calls := r.Server.counts.snapshot(); len(calls) > 0 || strings.Contains(r.log.String(), "unknown") {
		t.Errorf("%v; %s", calls, r.log.String())
	}
}
