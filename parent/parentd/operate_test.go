package parentd

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redoubt/parent/internal/config"
	"redoubt/parent/internal/fakeenclave"
	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
)

// start runs a parent in this process with an enclave that is ready; it ends with the test.
func start(t *testing.T, args ...string) (*Parent, *fakeenclave.Enclave, *proctest.Buffer) {
	t.Helper()
	creds := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(creds, []byte(`{"AccessKeyId":"local","SecretAccessKey":"local-secret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	e := fakeenclave.Start(t, nil)
	args = append([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--enclave", e.URL, "--region", "us-east-1",
		"--credentials", "static", "--static-credentials-file", creds, "--ping-every", "500ms", "--ready-wait", "0s",
	}, args...)
	c, err := config.Parse(args, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	log := &proctest.Buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := Start(ctx, c, Environment{Version: "test", Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
	})
	fakeenclave.Wait(t, "readiness", a.ready)
	return a, e, log
}

func failing(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var answer struct{ Failing []string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return answer.Failing
}

// TestThePagesNameTheConditionsOfReadiness: METRICS.md names each condition in the paragraph on /ready, and the runbook of
// RedoubtNoEnclaveReady says of each what to do. The load balancer of the template leaves out one that there is.
func TestThePagesNameTheConditionsOfReadiness(t *testing.T) {
	a, _, _ := start(t)
	var ready struct{ Checks []struct{ Name string } }
	if err := json.Unmarshal(a.ask(http.MethodGet, "/ready", "", elsewhere, "").Body.Bytes(), &ready); err != nil {
		t.Fatal(err)
	}
	named := func(file, from, to string) (found []string) { // in backticks
		data, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		_, text, ok := strings.Cut(string(data), from)
		text, _, end := strings.Cut(text, to)
		if !ok || !end {
			t.Fatalf("%s has no text from %q to %q", file, from, to)
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	metrics, runbook := named("METRICS.md", "* `GET /ready`", "\n* "), named("README.md", "### RedoubtNoEnclaveReady", "\n### ")
	for _, c := range ready.Checks {
		if !slices.Contains(metrics, c.Name) {
			t.Errorf("METRICS.md does not say what %s is", c.Name)
		}
		if !slices.Contains(runbook, c.Name) {
			t.Errorf("the runbook does not say what to do for %s", c.Name)
		}
	}
	for _, name := range metrics {
		if !slices.ContainsFunc(ready.Checks, func(c struct{ Name string }) bool { return c.Name == name }) {
			t.Errorf("METRICS.md has a condition %s, which there is not", name)
		}
	}
	template, err := os.ReadFile(filepath.Join("..", "..", "deploy", "cloudformation", "vault.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`HealthCheckPath: (\S+)`).FindSubmatch(template)
	if m == nil {
		t.Fatal("the template has no HealthCheckPath")
	}
	if w := a.ask(http.MethodGet, string(m[1]), "", elsewhere, ""); w.Code != 200 {
		t.Errorf("the load balancer is answered %d %s", w.Code, w.Body)
	}
}

// TestReadyNamesWhatIsMissing is check 32: readiness needs self-test, KMS, clock and entropy, and says which of them
// fails. KMS alone can be left out, and does not keep requests from being served.
func TestReadyNamesWhatIsMissing(t *testing.T) {
	a, e, _ := start(t)
	for _, tc := range []struct {
		missing  wire.Health
		failing  []string
		serves   bool
		excluded int // the status without KMS
	}{
		{wire.HealthSelfTest, []string{"enclave_ready", "self_test"}, false, 503},
		{wire.HealthClock, []string{"enclave_ready", "clock"}, false, 503},
		{wire.HealthEntropy, []string{"enclave_ready", "entropy"}, false, 503},
		{wire.HealthKMS, []string{"kms"}, true, 200},
		{wire.HealthCredentials | wire.HealthKMS, []string{"enclave_ready", "kms"}, false, 503},
		{0, []string{}, true, 200},
	} {
		e.SetHealth((wire.HealthReady | wire.HealthKMS) &^ tc.missing)
		var got *httptest.ResponseRecorder
		fakeenclave.Wait(t, "/ready to say what is missing", func() bool {
			got = a.ask(http.MethodGet, "/ready", "", elsewhere, "")
			return slices.Equal(failing(t, got), tc.failing)
		})
		if want := len(tc.failing) == 0; (got.Code == 200) != want || !want && got.Code != 503 {
			t.Errorf("without %b: %d %s", tc.missing, got.Code, got.Body)
		}
		if w := a.ask(http.MethodGet, "/ready?exclude=kms", "", elsewhere, ""); w.Code != tc.excluded {
			t.Errorf("without %b and KMS: %d %s", tc.missing, w.Code, w.Body)
		}
		if a.ready() != tc.serves {
			t.Errorf("without %b: the metric says %t", tc.missing, !tc.serves)
		}
	}
	if w := a.ask(http.MethodGet, "/ready?exlude=kms", "", elsewhere, ""); w.Code != 422 {
		t.Errorf("a misspelt parameter: %d %s", w.Code, w.Body)
	}
	if w := a.ask(http.MethodGet, "/ready?exclude=kms,other", "", elsewhere, ""); w.Code != 400 {
		t.Errorf("a condition that there is not: %d %s", w.Code, w.Body)
	}
}
