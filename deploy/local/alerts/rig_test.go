//go:build operate

package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/deploy/local/internal/proc"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// bin is the folder of the programs.
var bin = flag.String("bin", "", "folder with local, enclave (tag dev), parent, api and canary")

const (
	faster  = 60 // times are divided by it
	few     = 8  // records that are asked for when nothing is wrong; the enclave remembers them
	many    = 200
	keys    = 32 // that the enclave remembers
	queue   = 8  // requests that may wait in the enclave
	callers = 4
	crowd   = 64
)

// rig is a stack under light load, with a canary and a Prometheus.
type rig struct {
	*testkit.Stack
	t      *testing.T
	state  string
	log    proctest.Buffer
	prom   string // its address
	canary *proc.Process
	other  *proc.Process // the second parent
	front  string        // its metrics
	bodies [][]byte
	vault  string // at the API

	wide  atomic.Bool  // whether more records are asked for than the enclave remembers
	crowd atomic.Int64 // further callers
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}, Timeout: 5 * time.Second}

// launch starts a program that ends with the test.
func (r *rig) launch(name, path string, args ...string) *proc.Process {
	r.t.Helper()
	p, err := proc.Start(proc.Spec{Name: name, Path: path, Args: args, Log: &r.log, Env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"),
		"AWS_ACCESS_KEY_ID=" + kms.DefaultAccessKey, "AWS_SECRET_ACCESS_KEY=" + kms.DefaultSecret,
		"AWS_EC2_METADATA_DISABLED=true",
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = p.Stop(3 * time.Second) })
	return p
}

func ports(t *testing.T, n int) []string {
	t.Helper()
	p, err := proctest.FreePorts(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// site starts all of it.
func site(t *testing.T) *rig {
	t.Helper()
	state, err := os.MkdirTemp("", "rda")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	r := &rig{t: t, state: state}
	r.Stack, err = testkit.Start(t.Context(), testkit.Options{
		Bin: *bin, State: state, FreePorts: true, Log: &r.log, ProbeEvery: 500 * time.Millisecond,
		EnclaveConfig: map[string]any{"cache": map[string]int{"keys": keys}, "work": map[string]int{"queue": queue}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			t.Logf("parent: %s", strings.Join(r.Process(testkit.Parent).Tail(), "\n"))
			t.Logf("api: %s", strings.Join(r.Process(testkit.API).Tail(), "\n"))
		}
	})
	for i := range many {
		rec, err := testkit.Seal(t.Context(), testkit.KMSClient(r.Addresses.KMS), testkit.RecordOptions{
			VaultID: fmt.Sprintf("v_%d", i), Key: kms.AliasSymmetric, Context: true, Fields: map[string]string{"first_name": "Ada"},
		})
		if err != nil {
			t.Fatal(err)
		}
		body, err := rec.Request(nil).JSON()
		if err != nil {
			t.Fatal(err)
		}
		r.bodies = append(r.bodies, body)
	}
	p := ports(t, 3)
	r.canary = r.launch("canary", filepath.Join(*bin, "canary"), "--api-url", "http://"+r.Addresses.API+"/v1",
		"--kms-key", kms.AliasSymmetric, "--kms-endpoint", "http://"+r.Addresses.KMS, "--every", "1s",
		"--metrics-listen", p[0])
	r.front, r.prom = p[1], p[2]
	r.second("credentials.json", 365*24*time.Hour)
	r.prometheus(p[0])
	r.load()
	return r
}

// prometheus starts one with the deployment's own rules and scrape configuration, in which times are shorter.
func (r *rig) prometheus(canary string) {
	r.t.Helper()
	for name, text := range ruleFiles(r.t) {
		r.write(name, regexp.MustCompile(`(\[|for: |offset )(\d+)([mh])\b`).ReplaceAllStringFunc(text, func(m string) string {
			part := regexp.MustCompile(`(\[|for: |offset )(\d+)([mh])`).FindStringSubmatch(m)
			n, _ := strconv.Atoi(part[2])
			return part[1] + strconv.Itoa(n*map[string]int{"m": 60, "h": 3600}[part[3]]/faster) + "s"
		}))
	}
	config, err := os.ReadFile("../../prometheus/prometheus.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	text := strings.NewReplacer(`["127.0.0.1:9180"]`, `["`+r.Addresses.ParentMetrics+`", "`+r.front+`"]`,
		"127.0.0.1:9181", r.Addresses.APIMetrics, "127.0.0.1:9182", canary, "15s", "250ms").Replace(string(config))
	r.write("prometheus.yaml", text)
	r.launch("prometheus", "prometheus", "--config.file="+filepath.Join(r.state, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(r.state, "tsdb"), "--web.listen-address="+r.prom, "--log.level=error")
}

func ruleFiles(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../prometheus/alerts*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if base := filepath.Base(name); base != "alerts_test.yaml" {
			out[base] = string(data)
		}
	}
	return out
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.state, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// post sends JSON; status 0 is no answer.
func post(address string, body []byte) (status int, answer []byte) {
	resp, err := client.Post(address, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, _ = io.ReadAll(resp.Body)
	return resp.StatusCode, answer
}

// load asks parent and API as long as the test runs. How that ends is for the alerts to tell.
func (r *rig) load() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	r.t.Cleanup(func() { cancel(); wg.Wait() })
	for n := range callers + crowd {
		wg.Go(func() {
			for ctx.Err() == nil {
				if int64(n) >= callers+r.crowd.Load() {
					<-time.After(100 * time.Millisecond)
					continue
				}
				of := few
				if r.wide.Load() {
					of = many
				}
				post("http://"+r.Addresses.Parent+"/v1/decrypt", r.bodies[rand.IntN(of)])
				<-time.After(20 * time.Millisecond)
			}
		})
	}
	status, made := post("http://"+r.Addresses.API+"/vaults", []byte(`{"first_name":"Ada"}`))
	var vault struct{ ID string }
	if err := json.Unmarshal(made, &vault); status != http.StatusOK || err != nil {
		r.t.Fatalf("create: %d %s", status, made)
	}
	r.vault = vault.ID
	wg.Go(func() {
		for ctx.Err() == nil {
			post("http://"+r.Addresses.API+"/vaults", []byte(`{"first_name":"Ada"}`))
			post("http://"+r.Addresses.API+"/vaults/"+r.vault+"/decrypt", []byte(`{"fields":["first_name"],"reason":"load"}`))
			<-time.After(50 * time.Millisecond)
		}
	})
}

// firing are the names of the alerts that fire now.
func (r *rig) firing() []string {
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	resp, err := client.Get("http://" + r.prom + "/api/v1/alerts")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			names[a.Labels["alertname"]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// ask evaluates a query; 0 without a result.
func (r *rig) ask(query string) float64 {
	resp, err := client.Get("http://" + r.prom + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil || len(answer.Data.Result) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
	return n
}

// admin makes the stand-in misbehave, or stop it.
func (r *rig) admin(method, path, body string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.Addresses.KMS+kms.AdminPath+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
}

// eventually polls until ok.
func eventually(within time.Duration, ok func() bool) bool {
	for end := time.Now().Add(within); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}
