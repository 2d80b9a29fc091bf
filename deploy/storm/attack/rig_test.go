//go:build attack

package attack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/parentapi"
)

// memoryMiB are the bounds of resident memory that SECURITY.md states, by program.
var memoryMiB = map[string]int{"enclave": 320, "parent": 192, "api": 192}

// bin is the folder of the programs: ATTACK_BIN, or where TestMain built them.
var bin string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	for _, entry := range os.Environ() { // what the machine says of AWS is not for the stack
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	if bin = os.Getenv("ATTACK_BIN"); bin == "" {
		dir, err := os.MkdirTemp("", "rdbin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		bin = dir
		for name, args := range map[string][]string{
			"local": {"redoubt/deploy/local"}, "parent": {"redoubt/parent"}, "api": {"redoubt/api"},
			"enclave": {"-tags", "dev", "redoubt/enclave"},
		} {
			args = append([]string{"build", "-o", filepath.Join(dir, name)}, args...)
			if out, err := proctest.Run("go", args...); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s\n", name, err, out)
				return 1
			}
		}
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "the stack:", err)
		return 1
	}
	return code
}

// process is a program that is under attack.
type process struct {
	name, program string
	pid           int
	done          <-chan struct{}
	end           func() error // says how it ended, after done
}

// rig is a running stack with its honest callers, and the attackers' records.
type rig struct {
	*testkit.Stack
	state  string
	log    *proctest.Buffer
	client *http.Client

	mine, theirs string // the sentinels of attackers and of honest callers
	mu           sync.Mutex
	processes    []*process
	seen         int // bytes of the log that were searched

	record, honestRecord *testkit.Record
	honestBody           []byte
	vault, honestVault   string // ids of the API
	document             []byte // the API's OpenAPI document
}

// sharedRig is the stack of all attacks; the first of them starts it.
type sharedRig struct {
	once sync.Once
	rig  *rig
	err  error
}

var shared sharedRig

func (s *sharedRig) get(t *testing.T) *rig {
	t.Helper()
	s.once.Do(func() { s.rig, s.err = startRig() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.rig
}

func (s *sharedRig) close() error {
	if s.rig == nil {
		return nil
	}
	r := s.rig
	err := errors.Join(r.intact(), r.leaks(context.Background()))
	r.client.CloseIdleConnections()
	for _, p := range r.processes {
		if p.name != p.program { // the stack ends its own
			_ = syscall.Kill(p.pid, syscall.SIGTERM)
			select {
			case <-p.done:
			case <-time.After(8 * time.Second):
				err = errors.Join(err, errors.New(p.name+" does not end"), syscall.Kill(p.pid, syscall.SIGKILL))
				<-p.done
			}
		}
	}
	r.Stop()
	return errors.Join(err, os.RemoveAll(r.state))
}

func startRig() (*rig, error) {
	state, err := os.MkdirTemp("", "rda")
	if err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	r := &rig{
		state: state, log: &proctest.Buffer{},
		mine: "ATT4CK" + hex.EncodeToString(id[:]), theirs: "H0NEST" + hex.EncodeToString(id[:]),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.Stack, err = testkit.Start(ctx, testkit.Options{
		Bin: bin, State: state, FreePorts: true, Log: r.log, ProbeEvery: time.Minute,
		EnclaveConfig: map[string]any{
			// All bounds of the enclave together, so that the bound of its memory is near.
			"memory": map[string]any{"limit_mib": memoryMiB["enclave"] - 64},
			"cache":  map[string]any{"keys": 2000, "contexts": 4000, "key_ttl": "24h"},
			// Sessions of attackers beside the honest parents'.
			"sessions": map[string]any{"max": 16, "memory_mib": 42},
		},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	for _, name := range []string{testkit.KMS, testkit.Enclave, testkit.API, testkit.Parent} {
		p := r.Process(name)
		r.processes = append(r.processes, &process{name: name, program: name, pid: p.PID(), done: p.Done(), end: p.Err})
	}
	if err := r.prepare(ctx); err != nil {
		r.Stop()
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	return r, nil
}

// person has a sentinel in every value.
func person(sentinel string) map[string]string {
	return map[string]string{"first_name": sentinel + " Ada", "ssn9": sentinel + " 078051120", "note": sentinel + " \" \\ \n ü"}
}

// prepare makes the records and vaults of both sides.
func (r *rig) prepare(ctx context.Context) (err error) {
	client := testkit.KMSClient(r.Addresses.KMS)
	seal := func(id, sentinel string) *testkit.Record {
		rec, serr := testkit.Seal(ctx, client, testkit.RecordOptions{VaultID: id, Context: true, Fields: person(sentinel)})
		err = errors.Join(err, serr)
		return rec
	}
	r.record, r.honestRecord = seal("v_attack", r.mine), seal("v_honest", r.theirs)
	if err != nil {
		return err
	}
	body := r.honestRecord.Request(map[string]string{"tail": "ssn9.last(4)"})
	body.Include = []string{"first_name", "ssn9", "note"}
	if r.honestBody, err = body.JSON(); err != nil {
		return err
	}
	mine, err := r.record.Request(nil).JSON()
	if err != nil {
		return err
	}
	// Its key is in the cache then, so that it serves sessions without credentials too.
	if err := r.call(ctx, http.MethodPost, "http://"+r.Addresses.Parent+parentapi.PathV1Decrypt, mine, nil); err != nil {
		return err
	}
	create := func(sentinel string) string {
		var v struct{ ID string }
		data, cerr := json.Marshal(map[string]string{"first_name": sentinel + " Ada", "city": sentinel})
		err = errors.Join(err, cerr, r.call(ctx, http.MethodPost, "http://"+r.Addresses.API+"/v1/vaults", data, &v))
		return v.ID
	}
	r.vault, r.honestVault = create(r.mine), create(r.theirs)
	return errors.Join(err, r.call(ctx, http.MethodGet, "http://"+r.Addresses.API+"/openapi.json", nil, &r.document))
}

// errOverload is a refusal by stated overload.
var errOverload = errors.New("stated overload")

// call makes a request; the answer goes into into: JSON, or all bytes for a *[]byte.
func (r *rig) call(ctx context.Context, method, url string, body []byte, into any) error {
	return call(ctx, r.client, method, url, body, into)
}

func call(ctx context.Context, client *http.Client, method, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" &&
		bytes.Contains(raw, []byte("overloaded")), resp.StatusCode == http.StatusTooManyRequests:
		return errOverload
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: status %d: %.300s", method, req.URL.Path, resp.StatusCode, raw)
	}
	if all, ok := into.(*[]byte); ok {
		*all = raw
		return nil
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// stated tells a refusal by overload from other failures.
func stated(err error) (overload bool, _ error) {
	if errors.Is(err, errOverload) {
		return true, nil
	}
	return false, err
}

// askParent is a caller of a parent whose record is in the enclave's caches.
func (r *rig) askParent(name string, client *http.Client, url string) honest {
	return honest{name: name, ask: func(ctx context.Context) (bool, error) {
		var a struct{ Fields map[string]any }
		err := call(ctx, client, http.MethodPost, url+parentapi.PathV1Decrypt, r.honestBody, &a)
		if err == nil {
			for field, want := range r.honestRecord.Fields {
				if a.Fields[field] != want {
					err = fmt.Errorf("%s: another's answer", field)
				}
			}
			if a.Fields["tail"] != "1120" {
				err = errors.New("a wrong result")
			}
		}
		return stated(err)
	}}
}

// callers are the honest callers of the stack, and the control.
func (r *rig) callers() []honest {
	return []honest{
		{name: "control", control: true, ask: func(ctx context.Context) (bool, error) {
			return false, r.call(ctx, http.MethodGet, "http://"+r.Addresses.KMS+kms.AdminPath+"faults", nil, nil)
		}},
		r.askParent("parent", r.client, "http://"+r.Addresses.Parent),
		{name: "api", ask: func(ctx context.Context) (bool, error) {
			return stated(r.call(ctx, http.MethodGet, "http://"+r.Addresses.API+"/v1/vaults/"+r.honestVault, nil, nil))
		}},
		{name: "whole path", every: 50 * time.Millisecond, depth: 3, ask: func(ctx context.Context) (bool, error) {
			var a struct{ Data map[string]any }
			err := r.call(ctx, http.MethodPost, "http://"+r.Addresses.API+"/v1/vaults/"+r.honestVault+"/decrypt",
				[]byte(`{"fields":["city"],"reason":"honest"}`), &a)
			if err == nil && a.Data["city"] != r.theirs {
				err = errors.New("another's answer")
			}
			return stated(err)
		}},
	}
}

// add starts a further program beside the stack and waits until ready returns nil.
func (r *rig) add(t *testing.T, name, program string, env, args []string, ready func(context.Context) error) *process {
	t.Helper()
	cmd := proctest.CommandContext(context.Background(), filepath.Join(bin, program), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, env...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var ended error
	go func() { ended = cmd.Wait(); close(done) }()
	p := &process{name: name, program: program, pid: cmd.Process.Pid, done: done, end: func() error { return ended }}
	r.mu.Lock()
	r.processes = append(r.processes, p)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return p
		}
		select {
		case <-done:
			t.Fatalf("%s ended: %v\n%s", name, ended, r.lastLines())
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("%s is not ready: %v\n%s", name, err, r.lastLines())
		}
	}
}

func (r *rig) lastLines() string {
	log := r.log.String()
	return log[max(0, len(log)-3000):]
}

// intact says which process died, and which holds more memory than its bound.
func (r *rig) intact() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.processes {
		select {
		case <-p.done:
			err = errors.Join(err, fmt.Errorf("%s died: %w", p.name, orEnded(p.end())))
			continue
		default:
		}
		if most := memoryMiB[p.program]; most > 0 {
			if peak := p.peak(); peak > most {
				err = errors.Join(err, fmt.Errorf("%s held %d MiB of memory, its bound is %d", p.name, peak, most))
			}
		}
	}
	return err
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("status 0")
	}
	return err
}

// peak is the most resident memory that the process has had, in MiB (proc_pid_status(5), VmHWM).
func (p *process) peak() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return n >> 10
}

// cpu is the CPU time that the process has used, to the nanosecond where the kernel says so (its threads' schedstat).
func (p *process) cpu() time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
	var all time.Duration
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		n, _ := strconv.ParseInt(strings.Fields(string(text) + " 0")[0], 10, 64)
		all += time.Duration(n)
	}
	return all
}

// leaks searches what the programs logged since the last search, and their metrics.
func (r *rig) leaks(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log.String()
	text := log[r.seen:]
	r.seen = len(log)
	never := append(r.forms(r.mine), r.forms(r.theirs)...)
	err := leak("a log", []byte(text), append(never, kms.DefaultSecret, "panic:", "goroutine 1 [", "DATA RACE", "fatal error:")...)
	for _, address := range []string{r.Addresses.ParentMetrics, r.Addresses.APIMetrics} {
		var metrics []byte
		if merr := r.call(ctx, http.MethodGet, "http://"+address+"/metrics", nil, &metrics); merr != nil {
			err = errors.Join(err, merr)
		}
		err = errors.Join(err, leak("metrics", metrics, never...))
	}
	return err
}

// forms are the ways in which a sentinel may show.
func (r *rig) forms(sentinel string) []string {
	out := []string{sentinel, hex.EncodeToString([]byte(sentinel))}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("xx"[:shift%3] + sentinel))
		out = append(out, text[4:len(text)-4])
	}
	return out
}

// apiEnvironment has the credentials of an API beside the stack's.
var apiEnvironment = []string{
	"AWS_ACCESS_KEY_ID=" + kms.DefaultAccessKey, "AWS_SECRET_ACCESS_KEY=" + kms.DefaultSecret, "AWS_EC2_METADATA_DISABLED=true",
	"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
}

// apiArgs are the arguments of a further API, but for its store.
func (r *rig) apiArgs(t *testing.T) (listen, metrics string, args []string) {
	t.Helper()
	ports, err := proctest.FreePorts(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0], ports[1], []string{
		"serve", "--listen", ports[0], "--metrics-listen", ports[1], "--region", kms.DefaultRegion, "--parent-url",
		"http://" + r.Addresses.Parent, "--kms-endpoint", "http://" + r.Addresses.KMS, "--kms-key", r.KeyARN, "--mac-key", kms.AliasMAC,
		"--drain-timeout", "3s",
	}
}
