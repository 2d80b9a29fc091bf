package cloudformation

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ") // lines may end anywhere
}

func TestTheStepsGiveWhatTheTemplatesAsk(t *testing.T) {
	text := readme(t)
	given := map[string]bool{}
	calls := regexp.MustCompile("`stack ([a-z]+)([^`]*)`").FindAllStringSubmatch(text, -1)
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.NewReplacer("\\\n", " ", "\nfleet ", "\nstack vault ").Replace(string(raw)) // of the blocks
	calls = append(calls, regexp.MustCompile(`(?m)^ *stack ([a-z]+)(.*)$`).FindAllStringSubmatch(lines, -1)...)
	for _, m := range calls {
		declared, _ := load(t, m[1], nil).root["Parameters"].(object)
		for _, p := range regexp.MustCompile(`(\w+)=`).FindAllStringSubmatch(m[2], -1) {
			given[m[1]+" "+p[1]] = true
			if declared[p[1]] == nil {
				t.Errorf("stack %s has no parameter %s", m[1], p[1])
			}
		}
	}
	for _, template := range templates {
		declared, _ := load(t, template, nil).root["Parameters"].(object)
		for name, p := range declared {
			if _, ok := p.(object)["Default"]; !ok && template != "restored" && !given[template+" "+name] {
				t.Errorf("no step gives stack %s its %s", template, name)
			}
		}
	}
	if len(given) < 20 {
		t.Errorf("%d parameters given", len(given))
	}
}

func TestTheWorkedExamplesAreRight(t *testing.T) {
	text := readme(t)
	says := func(format string, args ...any) {
		t.Helper()
		if want := fmt.Sprintf(format, args...); !strings.Contains(text, want) {
			t.Errorf("not said: %s", want)
		}
	}
	const R, K, V, cpu = 2000.0, 60000.0, 2.0, 0.0005
	E := math.Ceil(R*cpu/(0.6*V)) + 1
	says("`E = ceil(2000 * 0.0005 / 1.2) + 1 = %.0f`", E)
	calls := func(ttl float64) float64 { return E * K / (0.75*ttl + E*K/R) }
	says("`C = %.0f / (225 + 60) = %.0f` calls/s, so `c` = %.2f and `h` = %.0f %%", E*K, calls(300), calls(300)/R,
		100*(1-calls(300)/R))
	says("`120000 / (675 + 60)` = %.0f calls/s, `c` = %.2f", calls(900), calls(900)/R)
	says("60,000 keys and 120,000 contexts take %.0f + %.0f MB", K*2.2/1000, 2*K*0.73/1000)
	const w = 0.003
	says("`TargetInFlight = 2 * 0.003 * 0.6 * 2 / 0.0005 = %.0f`; the default is %s", 2*w*0.6*V/cpu,
		load(t, "vault", nil).params["TargetInFlight"])
	says("`Concurrency = 2 * 2000 * 0.05 = %.0f`", 2*R*0.05)

	instances := 1e6 / (3600 * 500) * 0.15
	gateway, lambda, table := 3.5, 0.2+0.05*1e6*0.0000133334, 0.125+2*0.625
	logs := 2.3 * 0.5
	says("| logs | %.2f | the same | the same |", logs)
	says("API Gateway, Lambda, DynamoDB | %.2f + %.2f + %.2f", gateway, lambda, table)
	says("a million cost %.2f at the parents, and %.2f through the API", instances,
		instances+gateway+lambda+2*0.125+2*0.625+logs)
	row := func(name string, of func(c float64) float64) {
		says("| %s | %.2f | %.2f | %.2f |", name, of(0.21), of(0.08), of(1))
	}
	parents := func(c float64) float64 { return c*1e6*0.03/10000 + instances }
	row("KMS", func(c float64) float64 { return parents(c) - instances })
	row("instances", func(float64) float64 { return instances })
	bold := func(name string, of func(c float64) float64) {
		says("| **%s** | **%.2f** | **%.2f** | **%.2f** |", name, of(0.21), of(0.08), of(1))
	}
	bold("at the parents", parents)
	bold("through the API", func(c float64) float64 { return parents(c) + gateway + lambda + table + logs })
}
