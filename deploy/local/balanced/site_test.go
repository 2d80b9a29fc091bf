//go:build operate

package balanced

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"redoubt/deploy/local/internal/proc"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// sentinel is in every plaintext that these tests seal, and must be in no log.
const sentinel = "S3NT1NEL"

// site is the part that all tests share: KMS stand-in and an enclave, which they leave alone.
type site struct {
	*testkit.Stack
	state string
	log   proctest.Buffer
}

type sharedSite struct {
	once sync.Once
	site *site
	err  error
}

var shared sharedSite

func theSite(t *testing.T) *site {
	t.Helper()
	shared.once.Do(func() { shared.site, shared.err = startSite() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.site
}

func startSite() (*site, error) {
	state, err := os.MkdirTemp("", "rds")
	if err != nil {
		return nil, err
	}
	s := &site{state: state}
	s.Stack, err = testkit.Start(context.Background(), testkit.Options{Bin: *bin, State: state, FreePorts: true, Log: &s.log})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	return s, nil
}

func (s *sharedSite) close() error {
	if s.site == nil {
		return nil
	}
	s.site.Stop()
	return errors.Join(os.RemoveAll(s.site.state), clean(s.site.log.String()))
}

// clean is an error when a log has what none may have.
func clean(log string) error {
	for _, never := range []string{sentinel, kms.DefaultSecret, "panic:", "goroutine 1 ["} {
		if i := strings.Index(log, never); i >= 0 {
			return fmt.Errorf("%q in a log: …%s…", never, log[max(0, i-200):min(len(log), i+300)])
		}
	}
	return nil
}

func (s *site) socket() string { return "unix://" + filepath.Join(s.state, "enclave.sock") }

// program is a process of a test's own that can be started again as it was.
type program struct {
	t    *testing.T
	spec proc.Spec
	proc *proc.Process
	log  proctest.Buffer
}

func (p *program) start() {
	p.t.Helper()
	var err error
	if p.proc, err = proc.Start(p.spec); err != nil {
		p.t.Fatal(err)
	}
}

// run starts a program that ends with the test, and whose log is then judged.
func run(t *testing.T, p *program, name, path string, args ...string) {
	t.Helper()
	p.t = t
	p.spec = proc.Spec{Name: name, Path: path, Args: args, Log: &p.log, Env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"),
	}}
	p.start()
	t.Cleanup(func() {
		_ = p.proc.Stop(5 * time.Second)
		if err := clean(p.log.String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("last lines:\n  %s", strings.Join(p.proc.Tail(), "\n  "))
		}
	})
}

// wait demands that the program, which was told to end, does so by itself with status 0.
func (p *program) wait() {
	p.t.Helper()
	select {
	case <-p.proc.Done():
	case <-time.After(20 * time.Second):
		p.t.Fatalf("%s does not end", p.spec.Name)
	}
	if err := p.proc.Err(); err != nil {
		p.t.Errorf("%s ended with %v: %s", p.spec.Name, err, strings.Join(p.proc.Tail(), "\n  "))
	}
}

// terminate sends SIGTERM and waits.
func (p *program) terminate() {
	p.t.Helper()
	if err := p.proc.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
}

// parent is a parent of a test's own.
type parent struct {
	program
	addr, metrics string
}

// newParent starts a parent over the given enclaves and waits until it is ready.
func (s *site) newParent(t *testing.T, name string, enclaves []string, args ...string) *parent {
	t.Helper()
	p := &parent{addr: freePort(t), metrics: freePort(t)}
	base := []string{
		"--listen", p.addr, "--metrics-listen", p.metrics, "--region", kms.DefaultRegion,
		"--kms-egress", s.Addresses.KMSTLS, "--credentials", "static",
		"--static-credentials-file", filepath.Join(s.state, "credentials.json"), "--ready-wait", "0s",
	}
	for _, e := range enclaves {
		base = append(base, "--enclave", e)
	}
	run(t, &p.program, name, filepath.Join(*bin, "parent"), append(base, args...)...)
	p.waitReady()
	return p
}

func (p *parent) waitReady() {
	p.t.Helper()
	eventually(p.t, p.spec.Name+" is ready", 20*time.Second, func() bool { return p.status("/ready") == http.StatusOK })
}

// status asks the metrics listener; 0 is no answer.
func (p *parent) status(path string) int {
	resp, err := plain.Get("http://" + p.metrics + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// metric is the value of a series of the parent, "" when it has none.
func (p *parent) metric(series string) string {
	p.t.Helper()
	resp, err := plain.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// plain opens a connection for each request.
var plain = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// admin makes the stand-in misbehave, or stop it.
func (s *site) admin(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Addresses.KMS+kms.AdminPath+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d, %v: %s", method, path, resp.StatusCode, err, out)
	}
	return strings.TrimSpace(string(out))
}

func freePort(t *testing.T) string {
	t.Helper()
	addresses, err := proctest.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

// eventually polls until ok, and returns how long that took. It asks little beside the load.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(begin) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(begin)
}
