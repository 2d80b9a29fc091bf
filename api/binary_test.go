package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
	"redoubt/wire/kit/test/proctest"
)

// binary is the api program, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "bootstrap")
	if out, err := proctest.Run("go", "build", "-o", binary, "redoubt/api"); err != nil {
		panic(string(out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// server is a running "api serve". What its client is answered is checked against the API's document.
type server struct {
	*exec.Cmd
	url     string
	metrics string
	client  *client.Client
	ended   chan error
}

// start runs "api serve" on free ports and waits until it listens.
func start(t *testing.T, stack *apitest.Stack, file string, args ...string) *server {
	t.Helper()
	all := append([]string{"serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--store", "bolt:" + file}, args...)
	s := &server{Cmd: proctest.Command(t, binary, all...), ended: make(chan error, 1)}
	s.Env = stack.Env()
	stderr, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill() })
	lines := make(chan string, 64)
	go func() {
		scan := bufio.NewScanner(stderr)
		for scan.Scan() {
			select {
			case lines <- scan.Text():
			default: // nobody reads any more
			}
		}
		close(lines)
		s.ended <- s.Wait()
	}()
	for s.url == "" {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatal("the server ended before it listened")
			}
			s.read(t, line)
		case <-time.After(30 * time.Second):
			t.Fatal("the server does not listen")
		}
	}
	checked := &http.Client{Transport: &apitest.Transport{T: t}, Timeout: client.DefaultTimeout}
	if s.client, err = client.New(client.Config{URL: s.url, HTTP: checked}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) read(t *testing.T, line string) {
	t.Helper()
	var l struct{ Msg, Address string }
	if json.Unmarshal([]byte(line), &l) != nil {
		t.Fatalf("the log is not JSON: %s", line)
	}
	switch l.Msg {
	case "serving":
		s.url = "http://" + l.Address
	case "serving metrics":
		s.metrics = "http://" + l.Address
	}
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	if s.ended == nil {
		return
	}
	_ = s.Process.Kill() // it may have ended
	<-s.ended
	s.ended = nil
}

// stop ends the server with SIGTERM and returns how it ended.
func (s *server) stop(t *testing.T) error {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		s.ended = nil
		return err
	case <-time.After(20 * time.Second):
		return errors.New("does not end")
	}
}

// command runs api to its end.
func command(t *testing.T, env []string, args ...string) (out, errOut string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := proctest.CommandContext(ctx, binary, args...)
	c.Env, c.Dir = env, t.TempDir()
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(o.String()), e.String(), c.ProcessState.ExitCode()
}
