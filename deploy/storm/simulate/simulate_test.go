//go:build dev

package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
)

// folder is short, since the names of unix sockets are bounded.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func hold(t *testing.T, got *Result) {
	t.Helper()
	for _, f := range got.Findings {
		t.Errorf("%d ms %s: %s", f.AtMS, f.Invariant, f.Text)
	}
	if t.Failed() {
		t.Logf("plan %s\nlog:\n%.20000s", got.Plan.JSON(), got.Log)
	}
}

// Every kind of request is answered with a success where nothing fails.
func TestEveryRequestSucceedsWithoutFaults(t *testing.T) {
	p := Plan{Seed: 1}
	last := []string{"expiring", "removefield", "delete"} // they may leave others nothing to ask for
	for i, name := range append(slices.DeleteFunc(sortedKeys(ops), func(name string) bool {
		return slices.Contains(last, name)
	}), last...) {
		p.Events = append(p.Events, Event{At: 10 * i, Kind: name, N: i})
	}
	p.Events = append(p.Events, Event{At: 400, Kind: "open", N: 7})
	got := Run(t.Context(), folder(t), p, true)
	hold(t, got)
	for outcome := range got.Answers {
		kind, _, _ := strings.Cut(outcome, " 404")
		kind, _, _ = strings.Cut(kind, " 5")
		kind = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(kind, " 0"), " 200"), " failed")
		if got.Answers[kind+" 200"] == 0 && kind != "purge ok" { // others may be of a machine that is busy
			t.Errorf("%s, and never a success", outcome)
		}
	}
}

// One seed of each workload, beside one another, in a usual process: with the embedded store's file, real sockets and the
// race detector.
func TestWorkloadsNatively(t *testing.T) {
	for i, name := range Workloads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hold(t, Run(t.Context(), folder(t), PlanOf(uint64(i)), false))
		})
	}
}

func TestAPlanFollowsFromItsSeed(t *testing.T) {
	for seed := range uint64(50) {
		a, b := PlanOf(seed), PlanOf(seed)
		if a.JSON() != b.JSON() || a.JSON() == PlanOf(seed+50).JSON() {
			t.Fatalf("seed %d has two plans, or another's", seed)
		}
	}
}

// The seeds that every call runs first can be run.
func TestEachKeptSeedIsOfAWorkload(t *testing.T) {
	text, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		var name string
		var seed uint64
		if _, err := fmt.Sscan(line, &name, &seed); err != nil {
			t.Errorf("%q: %v", line, err)
		} else if _, err := PlanFor(name, seed); err != nil {
			t.Error(err)
		}
		lines++
	}
	if lines == 0 {
		t.Error("no seed is kept")
	}
}

// withoutWorkload are the API's routes that no request of ops asks for, with the reason.
var withoutWorkload = map[string]string{
	"getHealth":  "it asks nothing of any part",
	"getDocs":    "a page that does not change",
	"getSwagger": "the same page",

	"getDomain":       "the simulation has no domain, so there is none to read",
	"getDomainByHash": "the simulation has no domain, so there is none to read",
}

// Each route of the API's own table has a workload or a reason why it has none. A route that comes later has neither.
func TestEveryRouteHasAWorkload(t *testing.T) {
	w, err := newWorld(t.Context(), folder(t), 1, features{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.links[callerAPI].address()+"/openapi.json",
		http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	a := read(http.DefaultClient, req)
	if a.err != nil {
		t.Fatal(a.err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(a.body, &document); err != nil || len(document.Paths) < 5 {
		t.Fatalf("%v, %d paths", err, len(document.Paths))
	}
	asked := map[string]string{
		"createVault": "create", "listVaults": "list", "getVault": "present", "updateVault": "update", "deleteVault": "delete",
		"decryptVault": "decrypt", "getAudit": "audit", "getSchema": "schema", "getOpenAPI": "document", "getReady": "",
	}
	for path, methods := range document.Paths {
		for method, op := range methods {
			by, ok := asked[op.ID]
			if _, exists := ops[by]; ok && (exists || by == "") { // /ready is asked by each run
				continue
			}
			if withoutWorkload[op.ID] == "" {
				t.Errorf("no workload asks for %s %s (%s): add a request to ops, or the reason here", method, path, op.ID)
			}
		}
	}
}

// Rolls draw from the product's table of features.
func TestEveryFeatureIsRolled(t *testing.T) {
	var all wire.Features
	for _, bit := range featureBits() {
		all |= 1 << bit
		if lacking(bit).Has(1 << bit) {
			t.Errorf("bit %d is not taken off", bit)
		}
	}
	if all != wire.AllFeatures() {
		t.Errorf("rolled %v of %v", all, wire.AllFeatures())
	}
}
