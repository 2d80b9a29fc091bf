package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
)

// decrypts is how often the stand-in has given the enclave a key.
func (r *rig) decrypts(t *testing.T) int {
	t.Helper()
	var counts map[string]kms.OperationCount
	if err := json.Unmarshal(r.admin(t, http.MethodGet, "counters", ""), &counts); err != nil {
		t.Fatal(err)
	}
	return counts["Decrypt"].Codes["OK"]
}

// purge asks the parent's metrics listener, and demands that the one enclave confirmed.
func (r *rig) purge(t *testing.T, body string) {
	t.Helper()
	resp, err := r.client.Post("http://"+r.Addresses.ParentMetrics+"/purge", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Enclaves []struct{ Confirmed bool } }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK ||
		len(answer.Enclaves) != 1 || !answer.Enclaves[0].Confirmed {
		t.Fatalf("purge %s: %d %+v %v", body, resp.StatusCode, answer, err)
	}
}

func TestAfterAPurgeKMSIsAskedAgain(t *testing.T) {
	r := own(t, func(o *testkit.Options) { o.EnclaveConfig = map[string]any{"hmac_key": ""} }) // one key to count
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	opened := func(when string, want int) {
		t.Helper()
		if a := r.ask(t, "/v1/decrypt", rec.Request(nil)); a.Status != http.StatusOK {
			t.Fatalf("%s: %d", when, a.Status)
		}
		if n := r.decrypts(t); n != want {
			t.Errorf("%s: KMS gave %d keys, want %d", when, n, want)
		}
	}
	before := r.decrypts(t)
	opened("at first", before+1)
	opened("from the cache", before+1)
	r.purge(t, "{}")
	opened("after a purge of all", before+2)
	r.purge(t, `{"vault_id": "another"}`)
	opened("after a purge of another vault", before+2)
	r.purge(t, `{"vault_id": "`+rec.VaultID+`"}`)
	opened("after a purge of its vault", before+3)
}
