//go:build attack

package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// once runs a program of which each round starts one, until it ends or enough says so, and demands that it ends by
// itself, or at a request, without a panic. It returns its status and what it printed.
func once(ctx context.Context, name string, args []string, enough func(printed string) bool) (status int, printed []byte, err error) {
	const most = 3 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*most)
	defer cancel()
	cmd := proctest.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = append([]string{"HOME=/nonexistent"}, apiEnvironment...)
	out := &proctest.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(most)
	for asked := false; ; {
		select {
		case err := <-ended:
			printed = []byte(out.String())
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, printed, err
			}
			status := cmd.ProcessState.ExitCode()
			if how, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && asked && how.Signaled() && how.Signal() == syscall.SIGTERM {
				status = 0 // asked before it took signals
			}
			return status, printed, leak("what "+name+" printed", printed, "panic:", "goroutine ", "fatal error:")
		case <-tick.C:
			if !asked && (enough(out.String()) || time.Now().After(deadline)) {
				asked = true
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}
}

// credentialsAnswer is what IMDS answers to a request.
func credentialsAnswer(g *gen, q *http.Request, _ []byte) []byte {
	plain := g == nil
	if plain {
		g = &gen{}
	}
	body, kind := []byte("an-instance-role"), "text/plain"
	switch {
	case strings.HasSuffix(q.URL.Path, "/token"):
		body = []byte("AQAEATOKEN==")
	case strings.HasSuffix(q.URL.Path, "placement/region"):
		body = []byte(kms.DefaultRegion)
	case strings.Contains(q.URL.Path, "security-credentials/") && !strings.HasSuffix(q.URL.Path, "/"):
		kind = "application/json"
		value := map[string]any{
			"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": kms.DefaultAccessKey, "SecretAccessKey": kms.DefaultSecret, "Token": "",
			"Expiration": time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339),
		}
		if plain {
			body, _ = json.Marshal(value)
			break
		}
		body = g.json(value)
	}
	if plain {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Amz-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n\r\n%s", kind, len(body), body)
	}
	return g.answer(200, kind, g.data(body))
}

// TestAttackMetadata is a hostile instance metadata service: each round starts a parent that asks it.
func TestAttackMetadata(t *testing.T) {
	r := shared.get(t)
	var served atomic.Int64
	strike(t, r, attack{name: "imds", workers: 2, round: func(ctx context.Context, a *arena, g *gen) error {
		var asked atomic.Int64
		imds := startHostile(t, "imds", "tcp", "127.0.0.1:0", func(h *hostile, _ *gen, conn net.Conn) {
			h.asked(g, conn, func(g *gen, q *http.Request, body []byte) []byte {
				asked.Add(1)
				return credentialsAnswer(g, q, body)
			})
		})
		defer func() { _ = imds.ln.Close() }()
		imds.armed.Store(a)
		begin := time.Now()
		status, printed, err := once(ctx, "parent", []string{
			"--listen", "127.0.0.1:0", "--metrics-listen", "", "--enclave", "unix:///nonexistent/e.sock", "--imds-endpoint",
			"http://" + imds.address(), "--ready-wait", "0s", "--drain-timeout", "1s",
		}, func(string) bool { return asked.Load() >= 4 || time.Since(begin) > 250*time.Millisecond })
		served.Add(asked.Load())
		if err == nil && status != 0 {
			err = fmt.Errorf("status %d: %.300s", status, printed)
		}
		return errors.Join(err, leak("its log", printed, kms.DefaultSecret))
	}})
	if t.Logf("%d answers", served.Load()); served.Load() < 4 {
		t.Error("it was hardly asked")
	}
}

// files of the API, with a valid one each.
var files = map[string]string{
	"policy": `rules:
  - principals: ["key:a", "iam:*"]
    operations: [read, decrypt]
    fields: [city, "*"]
    decrypt_rate: {per_second: 5, burst: 10}
decrypt_rate: {per_second: 1, burst: 0}
`,
	"schema": `name: person
fields:
  - {name: first_name, description: given name, min_length: 1, max_length: 100, pattern: "^[A-Z]+$"}
  - {name: ssn9, pattern: "[0-9]{9}"}
  - {name: ssn4, derive: {from: ssn9, last: 4}}
  - {name: ssn5, derive: {from: ssn9, first: 5}}
`,
}

// TestAttackFiles gives the API policies and schemas that are mutated: it refuses them, or serves; it never panics nor
// takes long.
func TestAttackFiles(t *testing.T) {
	r := shared.get(t)
	const serving = `"msg":"serving"`
	var refused, taken atomic.Int64
	dir := t.TempDir()
	strike(t, r, attack{name: "files", workers: 2, round: func(ctx context.Context, a *arena, g *gen) error {
		kind := pick(g, "policy", "schema")
		text := g.data([]byte(files[kind]))
		lines := order(g, slices.Collect(strings.Lines(string(text))))
		switch g.IntN(4) {
		case 0: // aliases that grow
			lines = append([]string{
				"a: &a [x,x,x,x,x,x,x,x,x]\n", "b: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n", "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n",
				"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n", "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\n", "f: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
			}, lines...)
		case 1:
			lines = append(lines, strings.Repeat(pick(g, "[", "{a: ", "- ", "&a "), 1<<g.IntN(14)))
		}
		file, err := os.CreateTemp(dir, kind)
		if err != nil {
			return err
		}
		whole := []byte(strings.Join(lines, ""))
		a.note(whole)
		if _, err := file.Write(whole); err != nil {
			return err
		}
		defer func() { _ = os.Remove(file.Name()) }()
		if err := file.Close(); err != nil {
			return err
		}
		begin := time.Now()
		status, printed, err := once(ctx, "api", []string{
			"serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--store", "bolt:" + file.Name() + ".db", "--kms-endpoint",
			"http://127.0.0.1:9", "--drain-timeout", "10ms", "--" + kind, file.Name(),
		}, func(printed string) bool { return strings.Contains(printed, serving) })
		for _, made := range []string{".db", ".db.sock", ".db.lock"} {
			_ = os.Remove(file.Name() + made)
		}
		switch {
		case err != nil:
			return err
		case time.Since(begin) > 3*time.Second:
			return fmt.Errorf("a %s of %d bytes took %v", kind, len(whole), time.Since(begin))
		case bytes.Contains(printed, []byte(serving)):
			taken.Add(1)
		case status != 1 && status != 2:
			return fmt.Errorf("status %d: %.300s", status, printed)
		default:
			refused.Add(1)
		}
		return nil
	}})
	if t.Logf("%d files were taken, %d refused", taken.Load(), refused.Load()); taken.Load() == 0 || refused.Load() == 0 {
		t.Error("both must be: what is not mutated is a valid file")
	}
}
