package cloudformation

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	unit          = "../systemd/redoubt-parent.service"
	alerts        = "../prometheus/alerts.yaml"
	listen        = ` --listen=\S+:(\d+)`
	metricsListen = ` --metrics-listen=\S+:(\d+)`
)

// same are places that must hold one number: what a template says, and what the programs, the unit or the alert rules
// say. Other tests have the numbers of which one must be above another.
var same = []struct {
	template, resource string
	path               []any
	file, pattern      string // where else it stands, and the number there
}{
	{"vault", "ParentGroup", []any{"SecurityGroupIngress", 0, "FromPort"}, unit, listen},
	{"vault", "ParentGroup", []any{"SecurityGroupIngress", 0, "ToPort"}, unit, listen},
	{"vault", "Targets", []any{"Port"}, unit, listen},
	{"vault", "ParentGroup", []any{"SecurityGroupIngress", 1, "FromPort"}, unit, metricsListen},
	{"vault", "ParentGroup", []any{"SecurityGroupIngress", 1, "ToPort"}, unit, metricsListen},
	{"vault", "Targets", []any{"HealthCheckPort"}, unit, metricsListen},
	{"vault", "Targets", []any{"HealthCheckPort"}, "../REFERENCE.md", "`PARENT_METRICS_LISTEN` \\| `[^:]*:(\\d+)`"},
	{"vault", "Targets", []any{"HealthCheckPort"}, "../METRICS.md", `Port (\d+) \(.--metrics-listen`},
	{"observe", "CredentialsEnd", []any{"Threshold"}, alerts, `redoubt_parent_credentials_life_seconds < (\d+)`},
	{
		"observe", "CertificateEnds",
		[]any{"Threshold"},
		alerts,
		`redoubt_parent_certificate_life_seconds < (\d+ \* \d+)`,
	},
}

func TestTheTemplatesNumbersAreThoseOfTheCode(t *testing.T) {
	for _, s := range same {
		data, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(s.pattern).FindSubmatch(data)
		if m == nil {
			t.Errorf("%s has no %s", s.file, s.pattern)
			continue
		}
		want := 1
		for factor := range strings.SplitSeq(string(m[1]), " * ") {
			n, err := strconv.Atoi(factor)
			if err != nil {
				t.Fatal(err)
			}
			want *= n
		}
		if got := fmt.Sprint(at(load(t, s.template, nil).props(s.resource), s.path...)); got != strconv.Itoa(want) {
			t.Errorf("%s: %s %v is %s; %s says %d", s.template, s.resource, s.path, got, s.file, want)
		}
	}
	script := fmt.Sprint(load(t, "vault", nil).props("Template")["LaunchTemplateData"].(object)["UserData"])
	port := fmt.Sprint(load(t, "vault", nil).props("Targets")["HealthCheckPort"])
	for _, m := range regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindAllStringSubmatch(script, -1) {
		if m[1] != port {
			t.Errorf("the user data asks port %s, the parent's is %s", m[1], port)
		}
	}
}

// A function's time limit leaves room for what it waits for, and API Gateway waits as long as the function may take.
func TestFunctionsHaveTimeForWhatTheyWaitFor(t *testing.T) {
	reference, err := os.ReadFile("../REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	standard := func(variable string) time.Duration {
		m := regexp.MustCompile("`" + variable + "` \\| `([^`]+)`").FindSubmatch(reference)
		if m == nil {
			t.Fatalf("the reference does not have %s", variable)
		}
		d, err := time.ParseDuration(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seconds := func(template, resource string, path ...any) time.Duration {
		d, err := time.ParseDuration(fmt.Sprintf("%vs", at(load(t, template, nil).props(resource), path...)))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	api := seconds("api", "Function", "Timeout")
	if most := standard("API_PARENT_TIMEOUT") + 2*standard("API_KMS_TIMEOUT"); api <= most {
		t.Errorf("the API has %v for a decrypt with its MACs, which may take %v", api, most)
	}
	if gateway := seconds("api", "Any", "Integration", "TimeoutInMillis") / 1000; gateway != api {
		t.Errorf("API Gateway waits %v, the function has %v", gateway, api)
	}
	canary := seconds("canary", "Function", "Timeout")
	if most := 2 * standard("CANARY_TIMEOUT"); canary <= most || canary >= time.Minute {
		t.Errorf("the canary has %v each minute; its two probes may take %v", canary, most)
	}
}

// The parameters of a template are inside the limits of the flags that they become.
func TestParametersAreInsideTheFlagsLimits(t *testing.T) {
	reference, err := os.ReadFile("../REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	for parameter, variable := range map[string]string{
		"EnclaveCpus": "PARENT_ENCLAVE_CPUS", "EnclaveMemory": "PARENT_ENCLAVE_MEMORY",
	} {
		m := regexp.MustCompile("`" + variable + "` \\|[^|]*\\|[^|]*?(\\d+) to (\\d+)").FindSubmatch(reference)
		if m == nil {
			t.Fatalf("the reference has no limits of %s", variable)
		}
		number := func(v any) int {
			n, err := strconv.Atoi(fmt.Sprint(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		low, high := number(string(m[1])), number(string(m[2]))
		p := load(t, "vault", nil).root["Parameters"].(object)[parameter].(object)
		for _, key := range []string{"MinValue", "Default", "MaxValue"} {
			if n := number(p[key]); n < low || n > high {
				t.Errorf("%s: %s is %d, the parent takes %d to %d", parameter, key, n, low, high)
			}
		}
	}
}

// Days that CloudWatch Logs can keep stand in each template with a log group of its own, and are the same.
func TestTheDaysOfLogsAreTheSameInEachTemplate(t *testing.T) {
	var first, where string
	for _, name := range templates {
		parameters, _ := load(t, name, nil).root["Parameters"].(object)
		p, ok := parameters["LogDays"].(object)
		if !ok {
			continue
		}
		days := fmt.Sprint(p["AllowedValues"])
		if first == "" {
			first, where = days, name
		}
		if days != first {
			t.Errorf("%s allows %s, %s %s", name, days, where, first)
		}
	}
	if first == "" {
		t.Error("no template has LogDays")
	}
}
