package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace/otlp"
)

// clean removes variables that would be read as flags.
func clean(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "PARENT_") || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
}

func parse(t *testing.T, args ...string) (*Config, error) {
	t.Helper()
	return Parse(args, "test", new(bytes.Buffer))
}

func TestDefaultsAreTheReferences(t *testing.T) {
	clean(t)
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Front.Address(); got != "127.0.0.1:8080" {
		t.Errorf("address %q", got)
	}
	if c.LifeCycle.SkipRefresh || c.LifeCycle.SkipRun || c.KMS.Role != "" || c.KMS.Credentials != "imds" {
		t.Errorf("unexpected defaults: %+v %+v", c.LifeCycle, c.KMS)
	}
}

func TestReferenceFlagsAndVariablesWork(t *testing.T) {
	clean(t)
	t.Setenv("PARENT_HTTP_HOST", "127.0.0.2")
	t.Setenv("PARENT_HTTP_PORT", "9999")
	t.Setenv("PARENT_ROLE_NAME", "vault")
	t.Setenv("PARENT_SKIP_REFRESH_ENCLAVES", "true")
	t.Setenv("PARENT_SKIP_RUN_ENCLAVES", "true")
	t.Setenv("PARENT_VERSION", "true") // no flag: a release's number in the environment must not end the parent
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.Front.Address() != "127.0.0.2:9999" || c.KMS.Role != "vault" || !c.LifeCycle.SkipRefresh || !c.LifeCycle.SkipRun {
		t.Errorf("variables not read: %+v", c)
	}
	c, err = parse(t, "--host", "127.0.0.3", "--port", "1", "--role", "x", "--skip-refresh-enclaves", "--skip-run-enclaves")
	if err != nil {
		t.Fatal(err)
	}
	if c.Front.Address() != "127.0.0.3:1" || c.KMS.Role != "x" {
		t.Errorf("flags do not win: %+v", c)
	}
	c, err = parse(t, "--listen", "[::1]:7")
	if err != nil || c.Front.Address() != "[::1]:7" {
		t.Errorf("--listen does not win: %v %v", c, err)
	}
}

func TestRules(t *testing.T) {
	clean(t)
	for _, tc := range []struct {
		args string
		want string // part of the error; "" for none
	}{
		{"--listen 0.0.0.0:80", "beyond loopback"},
		{"--listen :80", "beyond loopback"},
		{"--listen example.com:80", "beyond loopback"},
		{"--listen 0.0.0.0:80 --insecure-no-client-auth", ""},
		{"--listen 0.0.0.0:80 --api-keys-file keys", ""},
		{"--listen 0.0.0.0:80 --tls-cert c --tls-key k", "beyond loopback"},
		{"--listen 0.0.0.0:80 --tls-cert c --tls-key k --tls-client-ca ca", ""},
		{"--listen localhost:80", ""},
		{"--listen [::1]:80", ""},
		{"--listen nonsense", "HOST:PORT"},
		{"--tls-cert c", "go together"},
		{"--tls-client-ca c", "needs --tls-cert"},
		{"--tls-client-san c", "needs --tls-client-ca"},
		{"--pprof --metrics-listen 0.0.0.0:1", "loopback"},
		{"--pprof", ""},
		{"--metrics-listen=", ""},
		{"--metrics-listen 0.0.0.0:9180", "/metrics asks other hosts for a key"},
		{"--metrics-listen 0.0.0.0:9180 --api-keys-file keys", ""},
		{"--metrics-listen 0.0.0.0:9180 --metrics-keys-file keys", ""},
		{"--metrics-listen 0.0.0.0:9180 --insecure-no-client-auth", ""},
		{"--listen 0.0.0.0:80 --metrics-keys-file keys", "beyond loopback"},
		{"--metrics-listen= --metrics-keys-file keys", "needs --metrics-listen"},
		{"--api-keys-file keys --metrics-keys-file keys", "must not be the file"},
		{"--credentials static", "--static-credentials-file"},
		{"--credentials other", "must be one of"},
		{"--idle-timeout 0s", "--idle-timeout must be 1ms to 1h0m0s"},
		{"--request-timeout 2000000h", "--request-timeout must be 1ms to 1h0m0s"},
		{"--ready-wait=-1s", "--ready-wait must be 0s to 1h0m0s"},
		{"--ready-wait 2h", "--ready-wait must be 0s to 1h0m0s"},
		{"--max-connections 1000000000000", "--max-connections must be 1 to 1000000"},
		{"--batch-fan-out 1001", "--batch-fan-out must be 1 to 1000"},
		{"--max-in-flight 65537", "--max-in-flight must be 1 to 65536"},
		{"--enclave-count 17", "--enclave-count must be 0 to 16"},
		{"--enclave-count=-1", "--enclave-count must be 0 to 16"},
		{"--sessions 0", "--sessions must be 1 to 32"},
		{"--sessions 100", "--sessions must be 1 to 32"},
		{"--trace-ratio 1.5", "must be 0 to 1"},
		{"--trace-ratio=-1", "must be 0 to 1"},
		{"--trace-ratio NaN", "must be 0 to 1"},
		{"--trace-ratio 0.5 --otlp-endpoint http://127.0.0.1:4318", ""},
		{"--no-such-flag", "unknown flag"},
		{"--enclave-measurement PCR0=00 --enclave-measurement PCR1=11", ""},
		{"--proxy-protocol-from 10.0.0.0/8 --proxy-protocol-from 10.1.0.0/16", ""},
		{"--proxy-protocol-from 10.0.0.0/99", "prefix"},
	} {
		_, err := parse(t, strings.Fields(tc.args)...)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.args, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrInvalid)):
			t.Errorf("%s: %v, want %q", tc.args, err, tc.want)
		}
	}
}

func TestHelpNamesEveryGroupAndVersionExits(t *testing.T) {
	clean(t)
	var out bytes.Buffer
	_, err := Parse([]string{"--help"}, "v9", &out)
	if !errors.Is(err, ExitError(0)) {
		t.Fatalf("help: %v", err)
	}
	for _, g := range groups {
		if !strings.Contains(out.String(), g.Title) {
			t.Errorf("help lacks %q", g.Title)
		}
	}
	for _, flag := range []string{"--enclave", "PARENT_HTTP_PORT", "PARENT_SKIP_RUN_ENCLAVES", "--kms-egress", "$PARENT_METRICS_LISTEN"} {
		if !strings.Contains(out.String(), flag) {
			t.Errorf("help lacks %q", flag)
		}
	}
	if strings.Contains(out.String(), "${") {
		t.Error("help has an unexpanded variable")
	}
	out.Reset()
	_, err = Parse([]string{"--version"}, "v9", &out)
	if !errors.Is(err, ExitError(0)) || strings.TrimSpace(out.String()) != program.Version("parent", "v9") {
		t.Errorf("version: %v %q", err, out.String())
	}
}

func TestTheCollectorsVariableIsOpenTelemetrys(t *testing.T) {
	clean(t)
	c, err := parse(t)
	if err != nil || c.Trace.OTLPEndpoint != "" || c.Trace.Ratio != otlp.DefaultRatio {
		t.Fatalf("%+v %v", c, err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	if c, err = parse(t); err != nil || c.Trace.OTLPEndpoint != "http://127.0.0.1:1" {
		t.Errorf("%+v %v", c, err)
	}
	t.Setenv("PARENT_OTLP_ENDPOINT", "http://127.0.0.1:2")
	if c, err = parse(t); err != nil || c.Trace.OTLPEndpoint != "http://127.0.0.1:2" {
		t.Errorf("%+v %v", c, err)
	}
}
