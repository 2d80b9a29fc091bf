package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

// ready is the status of the parent's /ready, and what it says of the probe.
func (r *rig) ready(t *testing.T, query string) (status int, body string) {
	t.Helper()
	resp, err := r.client.Get("http://" + r.Addresses.ParentMetrics + "/ready" + query)
	if err != nil {
		return 0, err.Error() // it may be starting
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// TestKMSThatDeniesEverythingIsAnOutageAndKeepsANewHostFromServing is check 51, with a true enclave. Measurements that
// are mistyped in the key's policy do the same to a host that starts: it is never ready, and so does not signal.
func TestKMSThatDeniesEverythingIsAnOutageAndKeepsANewHostFromServing(t *testing.T) {
	r := own(t, func(o *testkit.Options) { o.ProbeEvery = 300 * time.Millisecond })
	cached := r.caller(t, "cached", sealed.EncodingRecord)
	opens := func() bool {
		a, err := r.post("/v1/decrypt", cached.body)
		return err == nil && a.Status == http.StatusOK && cached.own(a)
	}
	eventually(t, "service", 10*time.Second, opens)
	denied := func() bool {
		status, body := r.ready(t, "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"failing":["kms_probe"]`) &&
			strings.Contains(body, `"detail":"key_denied"`)
	}
	allowed := map[int][]string{}
	for i, v := range r.PCRs() {
		allowed[i] = []string{v}
	}
	right, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		t.Fatal(err)
	}
	allowed[0] = []string{strings.Repeat("ab", 48)}
	mistyped, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		t.Fatal(err)
	}

	r.admin(t, http.MethodPut, "policy", string(mistyped))
	eventually(t, "the denial to show", 10*time.Second, denied)
	if status, body := r.ready(t, "?exclude=kms"); status != http.StatusOK {
		t.Errorf("what balances load is told %d %s", status, body)
	}
	if !opens() {
		t.Error("a key in memory serves no more")
	}
	if m := r.metrics(t); !strings.Contains(m, `redoubt_parent_probe_ok{region="us-east-1"} 0`) {
		t.Error("the metric does not say so")
	}

	r.killed(t, []string{testkit.Enclave, testkit.Parent})
	eventually(t, "the new host to say why it is not ready", 15*time.Second, func() bool {
		if status, body := r.ready(t, ""); status == http.StatusOK {
			t.Fatalf("a new host that cannot decrypt is ready: %s", body)
		}
		return denied()
	})

	r.admin(t, http.MethodPut, "policy", string(right))
	eventually(t, "the end", 10*time.Second, func() bool {
		status, _ := r.ready(t, "")
		return status == http.StatusOK
	})
}
