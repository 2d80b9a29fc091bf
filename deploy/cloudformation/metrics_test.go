package cloudformation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"redoubt/wire/kit/test/pages"
)

// agentFiles are the agent's configuration, as far as it is ours to get right.
type agentFiles struct {
	Logs struct {
		LogsCollected struct {
			Files struct {
				List []struct {
					Path  string `json:"file_path"`
					Group string `json:"log_group_name"`
				} `json:"collect_list"`
			}
		} `json:"logs_collected"`
		MetricsCollected struct {
			Prometheus struct {
				Group string `json:"log_group_name"`
				Path  string `json:"prometheus_config_path"`
				EMF   struct {
					Namespace    string `json:"metric_namespace"`
					Declarations []struct {
						Labels     []string `json:"source_labels"`
						Matcher    string   `json:"label_matcher"`
						Dimensions [][]string
						Selectors  []string `json:"metric_selectors"`
					} `json:"metric_declaration"`
				} `json:"emf_processor"`
			}
		} `json:"metrics_collected"`
	}
}

type scrapeFile struct {
	Jobs []scrapeJob `yaml:"scrape_configs"`
}

type scrapeJob struct {
	Name    string `yaml:"job_name"`
	Targets []struct {
		Targets []string
		Labels  map[string]string
	} `yaml:"static_configs"`
	Keep []struct {
		Labels []string `yaml:"source_labels"`
		Regex  string
		Action string
	} `yaml:"metric_relabel_configs"`
}

// published are the metrics that reach CloudWatch, by name, each with its dimensions as spelled makes them: exposed by
// the parent, kept by the scrape configuration, and selected by a declaration of the agent's.
func (h *host) published(exposed map[string]bool) (metrics map[string][]string, namespace string) {
	h.t.Helper()
	var agent agentFiles
	if err := json.Unmarshal([]byte(h.read(agentDir+"redoubt.json")), &agent); err != nil {
		h.t.Fatal(err)
	}
	var scrape scrapeFile
	if err := yaml.Unmarshal([]byte(h.read(agentDir+"redoubt-prometheus.yaml")), &scrape); err != nil {
		h.t.Fatal(err)
	}
	p, job := agent.Logs.MetricsCollected.Prometheus, scrape.Jobs[0]
	if !strings.HasSuffix(p.Path, "/redoubt-prometheus.yaml") || p.Group != "<MetricsGroup>" ||
		job.Targets[0].Targets[0] != "127.0.0.1:9180" {
		h.t.Errorf("agent %+v, scrape %+v", agent, scrape)
	}
	metrics = map[string][]string{}
	for _, d := range p.EMF.Declarations {
		for _, value := range []string{"", "ok", "denied", "throttled", "unavailable", "kms_throttled", "key_denied"} {
			labels := map[string]string{"job": job.Name, "Fleet": job.Targets[0].Labels["Fleet"]}
			if d.Labels[0] != "job" {
				labels[d.Labels[0]] = value
			}
			if !regexp.MustCompile(d.Matcher).MatchString(labels[d.Labels[0]]) {
				continue
			}
			dims := map[string]string{}
			for _, name := range d.Dimensions[0] {
				dims[name] = labels[name]
			}
			for _, selector := range d.Selectors {
				name := strings.Trim(selector, "^$")
				labels["__name__"] = name
				if !exposed[name] || !job.keeps(labels) {
					h.t.Errorf("%s %q is not kept, or no parent has it", name, value)
				}
				metrics[name] = append(metrics[name], spelled(dims))
			}
			if d.Labels[0] == "job" {
				break // whatever else it has
			}
		}
	}
	return metrics, p.EMF.Namespace
}

// keeps tells whether the relabelling keeps a series. Prometheus anchors its expressions.
func (j *scrapeJob) keeps(labels map[string]string) bool {
	for _, k := range j.Keep {
		if !regexp.MustCompile("^(?:" + k.Regex + ")$").MatchString(labels[k.Labels[0]]) {
			return false
		}
	}
	return true
}

// spelled are dimensions as text, to be compared.
func spelled(dims map[string]string) string {
	var out []string
	for name, value := range dims {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func TestTheLogsThatAreSentAreThoseThatAreWrittenAndCut(t *testing.T) {
	h := boot(t)
	var agent agentFiles
	if err := json.Unmarshal([]byte(h.read(agentDir+"redoubt.json")), &agent); err != nil {
		t.Fatal(err)
	}
	unit := h.read("etc/systemd/system/redoubt-parent.service")
	rotated, _, _ := strings.Cut(strings.ReplaceAll(h.read("etc/logrotate.d/redoubt"), h.root, ""), " {")
	logs := agent.Logs.LogsCollected.Files.List
	if path := strings.TrimPrefix(logs[0].Path, h.root); !strings.Contains(unit, "StandardError=append:"+path+"\n") {
		t.Errorf("%s is not written", path)
	}
	// Written once: by nitro-cli for each command that failed, by cloud-init at the host's first start.
	short := []string{"/var/log/nitro_enclaves/err*.log", "/var/log/cloud-init-output.log"}
	for _, l := range logs {
		path := strings.TrimPrefix(l.Path, h.root)
		if !slices.Contains(append(strings.Fields(rotated), short...), path) || l.Group != "<LogGroup>" {
			t.Errorf("%s goes to %s, cut are %s", path, l.Group, rotated)
		}
	}
	timer := h.read("etc/systemd/system/logrotate.timer.d/often.conf")
	if !strings.Contains(timer, "OnCalendar=\nOnCalendar=*:0/5\nAccuracySec=10s\n") {
		t.Errorf("timer %s", timer)
	}
}

func TestWhatScalesAndAlarmsWatchIsWhatTheParentTells(t *testing.T) {
	h := boot(t)
	front, metrics := h.start()
	if status, _ := h.get("https://" + front + "/health"); status != http.StatusOK {
		t.Errorf("/health: %d", status)
	}
	vault, observe := load(t, "vault", nil), load(t, "observe", nil)
	targets := vault.props("Targets")
	if targets["HealthCheckPort"] != "9180" || targets["HealthCheckProtocol"] != "HTTP" {
		t.Errorf("health check %v", targets)
	}
	status, body := h.get("http://" + metrics + targets["HealthCheckPath"].(string))
	if status != http.StatusServiceUnavailable || strings.Contains(body, `"kms"`) {
		t.Errorf("the health check without an enclave: %d %s", status, body)
	}
	status, body = h.get("http://" + metrics + "/ready")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"kms"`) ||
		!strings.Contains(body, `{"name":"kms_probe","ok":false,"detail":"not_asked"}`) {
		t.Errorf("/ready, which a new instance waits for, without an enclave: %d %s", status, body)
	}
	exposed := map[string]bool{}
	_, page := h.get("http://" + metrics + "/metrics")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (?:gauge|counter)$`).FindAllStringSubmatch(page, -1) {
		exposed[m[1]] = true
	}
	for name := range pages.Table(t, "METRICS.md", "Enclave") { // there is none here to expose them
		exposed[name] = true
	}
	told, namespace := h.published(exposed)
	watched := 0
	check := func(who string, v object) {
		if v["Namespace"] != "Redoubt/Parent" {
			return
		}
		watched++
		name, _ := v["MetricName"].(string)
		dims := map[string]string{}
		for _, d := range v["Dimensions"].([]any) {
			dims[at(d, "Name").(string)] = at(d, "Value").(string)
		}
		if v["Namespace"] != namespace || !slices.Contains(told[name], spelled(dims)) {
			t.Errorf("%s watches %v of %v, told is %v", who, name, dims, told)
		}
	}
	spec := at(vault.props("ScaleOnInFlight"), "TargetTrackingConfiguration", "CustomizedMetricSpecification").(object)
	check("ScaleOnInFlight", spec)
	if spec["Statistic"] != "Average" {
		t.Errorf("statistic %v", spec["Statistic"])
	}
	for _, name := range observe.ofType("AWS::CloudWatch::Alarm") {
		check(name, observe.props(name))
	}
	if watched != 1+7 {
		t.Errorf("%d watchers", watched)
	}
	board := observe.props("Dashboard")["DashboardBody"].(string)
	shown := regexp.MustCompile(`"Redoubt/Parent", "(\w+)", "(\w+)", "([\w-]+)"`)
	for _, m := range shown.FindAllStringSubmatch(board, -1) {
		if !slices.Contains(told[m[1]], spelled(map[string]string{m[2]: m[3]})) {
			t.Errorf("the dashboard shows %v, which no parent tells", m)
		}
	}
}

// While all is throttled an enclave hardly calls KMS, so that its calls alone do not tell. Callers are told, and with them
// CloudWatch, from the rate of Prometheus's rule on. Of other answers CloudWatch is told nothing.
func TestTotalThrottlingIsSeenByWhatCallersAreTold(t *testing.T) {
	h := boot(t)
	told, _ := h.published(map[string]bool{
		"redoubt_parent_http_requests_total": true, "redoubt_enclave_kms_calls_total": true,
		"redoubt_parent_requests_in_flight": true, "redoubt_parent_credentials_life_seconds": true,
		"redoubt_parent_certificate_life_seconds": true, "redoubt_parent_probe_ok": true,
		"redoubt_enclave_kms_circuits_open": true, "redoubt_enclave_kms_domain_decrypts_total": true,
	})
	const answers = "redoubt_parent_http_requests_total"
	if got := told[answers]; !slices.Equal(got, []string{"Fleet=redoubt-vault,code=kms_throttled"}) {
		t.Errorf("of the answers are told %v", got)
	}
	rules, err := os.ReadFile("../prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rate := regexp.MustCompile(answers + `\{code="kms_throttled"\}\[5m\]\)\) > (\S+)`).FindSubmatch(rules)
	if rate == nil {
		t.Fatal("Prometheus has no such rule")
	}
	perSecond, err := strconv.ParseFloat(string(rate[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	observe := load(t, "observe", nil)
	for _, name := range observe.ofType("AWS::CloudWatch::Alarm") {
		a := observe.props(name)
		if a["MetricName"] == answers && at(a, "Dimensions", 1, "Value") == "kms_throttled" &&
			fmt.Sprint(a["Threshold"]) == fmt.Sprint(perSecond*60) && fmt.Sprint(a["Period"]) == "60" && a["Statistic"] == "Sum" {
			return
		}
	}
	t.Errorf("no alarm watches %v a minute", perSecond*60)
}
