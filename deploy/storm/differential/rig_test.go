//go:build differential

package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/parentapi"
)

// Folders of programs: of today, and of the version of before (see the package). The second may be empty.
var bin, oldBin = os.Getenv("REDOUBT_BIN"), os.Getenv("REDOUBT_OLD_BIN")

// stack is a running local stack.
type stack struct {
	*testkit.Stack
	state string
}

// start runs a stack with a parent and an enclave of these folders; the rest is today's.
func start(t *testing.T, parent, enclave string) *stack {
	t.Helper()
	if bin == "" {
		t.Fatal("run make test-differential: REDOUBT_BIN names the programs")
	}
	dir, err := os.MkdirTemp("", "rdd") // short: a socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	programs := filepath.Join(dir, "bin")
	if err := os.Mkdir(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"local": bin, "api": bin, "parent": parent, "enclave": enclave} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	log := &proctest.Buffer{}
	s := &stack{state: filepath.Join(dir, "s")}
	s.Stack, err = testkit.Start(t.Context(), testkit.Options{Bin: programs, State: s.state, FreePorts: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.keyed(t)
	return s
}

// keyed waits until the enclave has the key of its function hmac_sha256, for which it asks KMS after it is ready.
func (s *stack) keyed(t *testing.T) {
	t.Helper()
	a := ask{vault: "v_keyed", fields: map[string]string{"b": "x"}, expressions: map[string]string{"x0": keyed}}
	req, err := s.requestOf(t.Context(), &a, forms()[0])
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for {
		got, err := s.single(t.Context(), parentapi.PathV1Decrypt, req)
		if err == nil && strings.Contains(got, `"errors":{}`) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the enclave gets no key for hmac_sha256: %s, %v", got, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answer is what a caller sees.
type answer struct {
	status int
	body   []byte
	tag    string
}

func post(ctx context.Context, url string, body []byte) (answer, error) {
	return request(ctx, http.MethodPost, url, body, nil)
}

func request(ctx context.Context, method, url string, body []byte, header map[string]string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, data, resp.Header.Get("ETag")}, err
}

// credentials are the environment of an API that is not the stack's own, without what the machine says of AWS.
func credentials(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "API_") {
			env = append(env, v)
		}
	}
	return append(append(env, testkit.APIEnvironment()...), more...)
}

// program runs a program for the test's time.
func program(t *testing.T, env []string, args ...string) (log *proctest.Buffer) {
	t.Helper()
	cmd := proctest.Command(t, args[0], args[1:]...)
	log = &proctest.Buffer{}
	cmd.Env, cmd.Stderr, cmd.Stdout = env, log, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // a Lambda never ends by itself
		_ = cmd.Wait()
	})
	return log
}

var errNotReady = errors.New("not ready")

// ready waits until an address answers /ready.
func ready(t *testing.T, url string, log fmt.Stringer) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		a, err := request(t.Context(), http.MethodGet, url+"/ready", nil, nil)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%w: %d %s", errNotReady, a.status, a.body)
		}
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%v\n%v", err, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
