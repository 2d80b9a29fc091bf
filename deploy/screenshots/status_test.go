//go:build screens

package screenshots

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
)

// cells are the texts of a table's first row that begins with a name, found by the table's caption.
const cells = `(caption, name) => [...document.querySelectorAll("table")].filter(t => t.caption.textContent === caption)
	.flatMap(t => [...t.tBodies[0].rows]).filter(r => r.cells[0].textContent === name)
	.flatMap(r => [...r.cells].slice(1).map(c => c.textContent))`

func row(t *testing.T, p *tab, caption, name string) []string {
	t.Helper()
	return js[[]string](t, p, fmt.Sprintf("(%s)(%q, %q)", cells, caption, name))
}

func tile(t *testing.T, p *tab, id string) string {
	t.Helper()
	return js[string](t, p, fmt.Sprintf(`document.querySelector("#%s b").textContent`, id))
}

// figures are those of the page that a load moves, by what they are.
func figures(t *testing.T, p *tab) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, id := range []string{"rate", "p50", "p99", "hits", "kms"} {
		all[id] = tile(t, p, id)
	}
	for name, at := range map[string][2]string{
		"route":    {"By route, from request to answer", "/v1/decrypt"},
		"keys":     {"Caches", "Keys"},
		"contexts": {"Caches", "Contexts"},
		"enclave":  {"Load", "Requests, /s"},
		"open":     {"Stages of a request", "open"},
		"total":    {"Stages of a request", "total"},
	} {
		all[name] = strings.Join(row(t, p, at[0], at[1]), " | ")
	}
	return all
}

func TestTheStatusPageShowsALoadedParentAsItIs(t *testing.T) {
	r := start(t)
	p := open(t, browser(t), "http://"+r.Addresses.ParentMetrics+"/", "http://"+r.Addresses.ParentMetrics+"/")
	p.until(t, "ready", 20*time.Second, `document.getElementById("state").textContent === "ready"`)
	if none := row(t, p, "By route, from request to answer", "/v1/decrypt"); len(none) > 0 {
		t.Errorf("requests before there were any: %v", none)
	}
	begin, stop := time.Now(), r.load(t)
	defer stop()

	p.until(t, "first latency", 10*time.Second, `/[µm]s$/.test(document.querySelector("#p50 b").textContent)`)
	before := figures(t, p)
	for name, text := range before {
		if text == "" || strings.Contains(name, "p") && text == "–" {
			t.Errorf("nothing is shown for %s: %q", name, text)
		}
	}
	if got := tile(t, p, "sessions"); got != "2 of 2" {
		t.Errorf("sessions: %s", got)
	}
	waiting := maps.Clone(before)
	for end := time.Now().Add(12 * time.Second); len(waiting) > 0 && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for name, text := range figures(t, p) {
			if text != before[name] {
				delete(waiting, name)
			}
		}
	}
	if len(waiting) > 0 {
		t.Errorf("stood still under load: %v", slices.Sorted(maps.Keys(waiting)))
	}
	for time.Since(begin) < 16*time.Second { // the lines of the picture
		time.Sleep(100 * time.Millisecond)
	}
	sent := float64(r.opened.Load()) / time.Since(begin).Seconds()
	if shown, err := strconv.ParseFloat(tile(t, p, "rate"), 64); err != nil || math.Abs(shown/sent-1) > 0.4 {
		t.Errorf("%v requests per second are shown, %.0f were sent (%v)", shown, sent, err)
	}
	if got := row(t, p, "Caches", "Contexts"); len(got) != 4 || !(percent(got[1]) > 90) {
		t.Errorf("contexts of hot records: %v", got)
	}
	p.readable(t)
	p.picture(t, "status", "document.documentElement.getBoundingClientRect()")
	p.look(t, 1280, "dark")
	p.picture(t, "status-dark", "document.documentElement.getBoundingClientRect()")
	p.look(t, 1280, "light")
	stop()
	atRest(t, r, p)
	if strings.Contains(js[string](t, p, "document.documentElement.outerHTML"), sentinel) {
		t.Error("a plaintext is on the page")
	}
	p.silent(t)
	followsItsEnclave(t, r, p)
}

// percent is the number of a share as the page writes it, or -1.
func percent(text string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, " %"), 64)
	if err != nil {
		return -1
	}
	return v
}

// atRest compares what the page says once the load has ended with the metrics themselves.
func atRest(t *testing.T, r *rig, p *tab) {
	t.Helper()
	p.until(t, "rest", 20*time.Second, `document.querySelector("#rate b").textContent === "0"`)
	refused := r.metric(t, "redoubt_parent_http_requests_total", `code="bad_request"`)
	if got := row(t, p, "Answers other than ok", "bad request"); len(got) != 2 || got[1] != fmt.Sprint(refused) || refused < 1 {
		t.Errorf("refusals %v, metric %v", got, refused)
	}
	for name, metric := range map[string]string{
		"Keys": "redoubt_enclave_cached_keys", "Contexts": "redoubt_enclave_cached_contexts",
		"Expressions": "redoubt_enclave_cached_programs",
	} {
		want := fmt.Sprint(r.metric(t, metric, "enclave="))
		if got := row(t, p, "Caches", name); len(got) != 4 || got[0] != want || want == "0" {
			t.Errorf("%s: the page says %v, the metric %s", name, got, want)
		}
	}
}

// followsItsEnclave ends the enclave, starts it again, and ends the parent, and looks what the page says of each.
func followsItsEnclave(t *testing.T, r *rig, p *tab) {
	t.Helper()
	r.Process(testkit.Enclave).Kill()
	p.until(t, "the enclave is gone", 15*time.Second, `document.getElementById("state").textContent === "not ready" &&
		document.querySelector("#sessions b").textContent === "0 of 0" && document.querySelector("#sessions b.bad") !== null`)
	if err := r.Restart(testkit.Enclave); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the enclave is back", 20*time.Second, `document.getElementById("state").textContent === "ready" &&
		document.querySelector("#sessions b").textContent === "2 of 2"`)
	p.silent(t)
	r.Process(testkit.Parent).Kill()
	p.until(t, "the parent is gone", 10*time.Second, `document.getElementById("state").textContent === "does not answer" &&
		document.title === "Redoubt parent: does not answer" && document.body.classList.contains("stale")`)
}
