package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/parentd"
	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
)

// asParent makes this test binary the parent itself: "1" as it is, "readable" without making itself unreadable, for
// the test that reads its memory.
const asParent = "RD_TEST_PARENT"

func TestMain(m *testing.M) {
	switch os.Getenv(asParent) {
	case "":
		os.Exit(m.Run())
	case "readable":
		os.Exit(runReadable(os.Args[1:]))
	default:
		os.Exit(run(os.Args[1:]))
	}
}

func runReadable(args []string) int {
	c, err := parentd.Parse(args, "test", os.Stdout)
	if err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := parentd.Start(ctx, c, parentd.Environment{
		Version: "test", Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil || p.Wait() != nil {
		return 1
	}
	return 0
}

// self is the command that starts this program again. RD_TEST_EMULATOR names what runs programs of its architecture.
func self(ctx context.Context, args ...string) *exec.Cmd {
	if emulator := os.Getenv("RD_TEST_EMULATOR"); emulator != "" {
		return proctest.CommandContext(ctx, emulator, append([]string{os.Args[0]}, args...)...)
	}
	return proctest.CommandContext(ctx, os.Args[0], args...)
}

// process is a running parent.
type process struct {
	t            *testing.T
	cmd          *exec.Cmd
	url, metrics string
	log          *proctest.Buffer
	done         chan error
}

// environment is what a child gets: nothing that it could take for settings.
func environment(mode string) []string {
	return []string{asParent + "=" + mode, "PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
}

// startParent runs a parent with static credentials and waits until it serves.
func startParent(t *testing.T, mode string, args ...string) *process {
	t.Helper()
	creds := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(creds, []byte(`{"AccessKeyId":"local","SecretAccessKey":"`+credential()+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--credentials", "static",
		"--static-credentials-file", creds, "--ping-every", "1s", "--ready-wait", "0s",
	}, args...)
	p := &process{t: t, cmd: self(context.Background(), args...), log: &proctest.Buffer{}, done: make(chan error, 1)}
	p.cmd.Env = environment(mode)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan [2]string, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, p.log))
		for lines.Scan() {
			var line struct {
				Msg     string `json:"msg"`
				Listen  string `json:"listen"`
				Metrics string `json:"metrics_listen"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- [2]string{line.Listen, line.Metrics}
			}
		}
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			t.Error("the parent does not die")
		}
	})
	select {
	case at := <-serving:
		p.url, p.metrics = "http://"+at[0], "http://"+at[1]
	case <-time.After(20 * time.Second):
		t.Fatalf("the parent does not serve: %s", p.log)
	}
	return p
}

// credential is a secret key that is nowhere in this program's text, and longer than the vector registers in which the
// runtime may save a part of it when it preempts a copy (see TestPlaintextIsGoneFromMemory).
func credential() string { return strings.Repeat("cRed", 26) + strings.ToUpper("entialsentinel") }

// end waits for the process's end and returns its status.
func (p *process) end() int {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- nil
		if err == nil {
			return 0
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the parent does not end: %s", p.log)
		return -1
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) get(base, path string) (int, string) {
	resp, err := http.Get(base + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (p *process) decrypt(c *http.Client, value string) (int, string, error) {
	body := fmt.Sprintf(`{"vault_id":"v","region":"us-east-1","suite_id":"SFBLRQARAAIAAg==","encrypted_private_key":"QQ==",`+
		`"fields":{"f":%q}}`, base64.StdEncoding.EncodeToString([]byte(value)))
	resp, err := c.Post(p.url+"/v1/decrypt", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (p *process) waitReady() {
	p.t.Helper()
	fakeenclave.Wait(p.t, "readiness", func() bool { s, _ := p.get(p.url, "/ready"); return s == 200 })
}

func TestParentServesAndItsMetricsTell(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p := startParent(t, "1", "--enclave", e.URL)
	p.waitReady()
	if status, body, err := p.decrypt(http.DefaultClient, "hello"); status != 200 || body != `{"fields":{"f":"hello"},"errors":{}}` {
		t.Errorf("%d %s %v", status, body, err)
	}
	e.SetAnswer(fakeenclave.Refuse(wire.KeyDenied))
	if status, _, _ := p.decrypt(http.DefaultClient, "hello"); status != 403 {
		t.Errorf("%d", status)
	}
	if _, key := e.Credentials(); key != "local" {
		t.Errorf("the enclave has credentials %q", key)
	}
	if status, body := p.get(p.url, "/enclaves"); status != 200 || !strings.Contains(body, `"EnclaveID":"i-fake"`) || !strings.Contains(body, `"State":"RUNNING"`) {
		t.Errorf("%d %s", status, body)
	}
	_, exposed := p.get(p.metrics, "/metrics")
	for _, want := range []string{
		`redoubt_parent_http_requests_total{code="key_denied",route="/v1/decrypt",status="403"} 1`, "redoubt_parent_ready 1",
		"redoubt_parent_credentials_valid 1", "redoubt_parent_credentials_life_seconds +Inf", "redoubt_enclave_requests_total",
		"redoubt_parent_build_info", "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(exposed, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for base, path := range map[string]string{p.url: "/metrics", p.metrics: "/debug/pprof/"} {
		if status, _ := p.get(base, path); status != 404 {
			t.Errorf("%s answers %d", path, status)
		}
	}
}

func TestSIGTERMDrainsInOrderAndLosesNothing(t *testing.T) {
	release := make(chan struct{})
	e := fakeenclave.Start(t, nil)
	p := startParent(t, "1", "--enclave", e.URL, "--ready-wait", "3s")
	p.waitReady()
	e.SetAnswer(func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		<-release
		fakeenclave.Echo(req, resp)
	})
	const n = 20
	before := e.Requests.Load()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			if status, body, err := p.decrypt(c, "x"); status != 200 {
				t.Errorf("lost: %d %s %v", status, body, err)
			}
		})
	}
	fakeenclave.Wait(t, "requests in flight", func() bool { return e.Requests.Load() == before+n })
	p.signal(syscall.SIGTERM)
	// /ready fails first, while requests are still accepted.
	fakeenclave.Wait(t, "/ready to fail", func() bool { s, _ := p.get(p.url, "/ready"); return s == 503 })
	fakeenclave.Wait(t, "the listener to close", func() bool {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get(p.url + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	if status, body := p.get(p.metrics, "/metrics"); status != 200 || !strings.Contains(body, "redoubt_parent_draining 1") {
		t.Errorf("the drain cannot be watched: %d", status)
	}
	close(release)
	wg.Wait()
	if status := p.end(); status != 0 {
		t.Errorf("status %d: %s", status, p.log)
	}
}

func TestDrainThatTakesTooLongIsCutOffAndSaysSo(t *testing.T) {
	block := make(chan struct{})
	e := fakeenclave.Start(t, nil)
	p := startParent(t, "1", "--enclave", e.URL, "--drain-timeout", "300ms")
	p.waitReady()
	e.SetAnswer(func(*wire.DecryptRequest, *wire.DecryptResponse) { <-block })
	t.Cleanup(func() { close(block) })
	go func() { _, _, _ = p.decrypt(http.DefaultClient, "x") }()
	fakeenclave.Wait(t, "the request", func() bool { return e.Requests.Load() == 1 })
	p.signal(syscall.SIGTERM)
	if status := p.end(); status != 1 || !strings.Contains(p.log.String(), "cut off") {
		t.Errorf("status %d: %s", status, p.log)
	}
}

// TestEnclaveKilledUnderLoad is check 34 for this tier: typed errors or answers, nothing hangs, back within 2 s.
func TestEnclaveKilledUnderLoad(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p := startParent(t, "1", "--enclave", e.URL)
	p.waitReady()
	stop := make(chan struct{})
	const callers, rounds = 8, 3
	var good, refused, lost atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			c := &http.Client{Timeout: 20 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch status, body, err := p.decrypt(c, "x"); {
				case err != nil:
					t.Errorf("no answer: %v", err)
					return
				case status == 200:
					good.Add(1)
				case status == 503 && strings.Contains(body, `"code":"no_enclave"`):
					refused.Add(1)
				case status == 504 && strings.Contains(body, "the enclave did not answer"):
					lost.Add(1) // it was on both sessions, one after the other, as they ended
				default:
					t.Errorf("%d %s", status, body)
					return
				}
			}
		})
	}
	fastest := time.Hour // of the rounds: a busy machine may hold up one
	for range rounds {
		had := good.Load()
		fakeenclave.Wait(t, "load", func() bool { return good.Load() > had+50 })
		e.Down()
		had = refused.Load()
		fakeenclave.Wait(t, "refusals", func() bool { return refused.Load() > had+20 })
		if err := e.Up(); err != nil {
			t.Fatal(err)
		}
		up, had := time.Now(), good.Load()
		fakeenclave.Wait(t, "answers", func() bool { return good.Load() > had })
		fastest = min(fastest, time.Since(up))
	}
	if fastest > 2*time.Second {
		t.Errorf("back after %v", fastest)
	}
	close(stop)
	wg.Wait()
	if n := lost.Load(); n > callers*rounds {
		t.Errorf("%d requests were lost, more than were in flight", n)
	}
}

func TestKeysAreReadAgainWhenTheirFileChanges(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	file := filepath.Join(t.TempDir(), "keys")
	write := func(key string) {
		sum := sha256.Sum256([]byte(key))
		if err := os.WriteFile(file, []byte("api "+hex.EncodeToString(sum[:])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-key")
	p := startParent(t, "1", "--enclave", e.URL, "--api-keys-file", file)
	p.waitReady()
	status := func(key string) int {
		req, _ := http.NewRequest(http.MethodGet, p.url+"/enclaves", http.NoBody)
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if a, b := status("first-key"), status("second-key"); a != 200 || b != 401 {
		t.Errorf("%d %d", a, b)
	}
	write("second-key")
	fakeenclave.Wait(t, "the change", func() bool { return status("second-key") == 200 })
	if got := status("first-key"); got != 401 {
		t.Errorf("the old key: %d", got)
	}
	if strings.Contains(p.log.String(), "first-key") {
		t.Error("a key in the log")
	}
}

func TestMistakesOnTheCommandLineAreExplained(t *testing.T) {
	for want, args := range map[string][]string{
		"beyond loopback":       {"--listen", "0.0.0.0:0"},
		"unknown flag":          {"--nonsense"},
		"not host:port":         {"--kms-egress", "x"},
		"malformed transport":   {"--enclave", "http://x"},
		"cannot be used":        {"--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"},
		"no such file":          {"--api-keys-file", "/nonexistent"},
		"--enclave-measurement": {"--enclave-measurement", "x"},
	} {
		cmd := self(t.Context(), append([]string{"--port", "0", "--metrics-listen="}, args...)...)
		cmd.Env = environment("1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}
