package trace_test

import (
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// TestTheEnclaveHasNoTracing: neither contexts nor an exporter are in the measured program.
func TestTheEnclaveHasNoTracing(t *testing.T) {
	out, err := proctest.Command(t, "go", "list", "-deps", "redoubt/enclave").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "redoubt/wire/session\n") {
		t.Fatalf("not the enclave's list: %s", out)
	}
	for p := range strings.Lines(string(out)) {
		if strings.HasPrefix(p, "redoubt/wire/kit/trace") || strings.Contains(p, "opentelemetry") {
			t.Errorf("the enclave has %s", p)
		}
	}
}
