package main_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/wire/kit/test/proctest"
)

// TestVerifyTellsNotAskedFromTampered by its exit status: 1 is for a log that has problems, 3 for one of which nothing is
// known, 2 for a command line that makes no sense.
func TestVerifyTellsNotAskedFromTampered(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, journal := filepath.Join(dir, "store.db"), filepath.Join(dir, "journal")
	backedUp(t, stack, file, filepath.Join(dir, "copy"))
	note := filepath.Join(dir, "note")
	if err := os.WriteFile(note, []byte("somebody's\nnote"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		text string
	}{
		"all is well":         {nil, 0, "0 problems"},
		"with a journal":      {[]string{"--resume", journal}, 0, "0 problems"},
		"no key":              {[]string{"--kms-endpoint", "http://127.0.0.1:1", "--kms-timeout", "300ms"}, 3, "no key to verify with"},
		"no store":            {[]string{"--store", "bolt:" + filepath.Join(dir, "none")}, 3, "no such file"},
		"no checkpoint":       {[]string{"--since", filepath.Join(dir, "none")}, 3, "no such file"},
		"no journal":          {[]string{"--resume", note}, 3, "hint: remove the file that --resume names"},
		"a time that is none": {[]string{"--keyed-since", "yesterday"}, 2, "--keyed-since is not a time"},
		"unkeyed":             {[]string{"--keyed-since", "2020-01-01T00:00:00Z"}, 0, "0 problems"},
	} {
		out, errOut, code := command(t, stack.Env("API_STORE=bolt:"+file), append([]string{"audit", "verify"}, tc.args...)...)
		if code != tc.code || !strings.Contains(out+errOut, tc.text) {
			t.Errorf("%s: exit %d, want %d with %q: %s%s", name, code, tc.code, tc.text, out, errOut)
		}
	}
	if data, err := os.ReadFile(note); err != nil || string(data) != "somebody's\nnote" {
		t.Errorf("the note is %q, %v", data, err)
	}
	if _, err := os.Stat(journal); err == nil {
		t.Error("the journal of a run that read all is left")
	}
}

// TestVerifyEndsAtOnceWhenItIsInterrupted: of a store that does not answer, say.
func TestVerifyEndsAtOnceWhenItIsInterrupted(t *testing.T) {
	asked, release := make(chan struct{}, 64), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer srv.Close()
	defer close(release)
	stack := apitest.NewStack(t)
	cmd := proctest.Command(t, binary, "audit", "verify", "--store", "dynamodb:table", "--dynamodb-endpoint", srv.URL)
	cmd.Env, cmd.Dir = stack.Env(), t.TempDir()
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is looked at
	if code := cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(errOut.String(), "hint: with --resume FILE") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
