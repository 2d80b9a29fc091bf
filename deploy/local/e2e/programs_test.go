package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// TestEveryProgramAnswersItsCommandLineAlike runs each real program: --help and --version end with 0 and print to
// standard output; a mistake ends with 2, a failure with 1, and both are told on standard error alone.
func TestEveryProgramAnswersItsCommandLineAlike(t *testing.T) {
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"bench": {"redoubt/bench"}, "canary": {"redoubt/deploy/canary"}, "eif": {"redoubt/deploy/eif"},
		"production": {"redoubt/enclave"},
	} {
		args = append([]string{"build", "-o", filepath.Join(dir, name)}, args...)
		if out, err := proctest.Run("go", args...); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	for _, p := range []struct {
		name, path string
		mistake    []string // beside an unknown flag
		failure    []string
	}{
		{"parent", "", []string{"--log-level=loud"}, []string{"--listen=127.0.0.1:0", "--api-keys-file=/nowhere/keys"}},
		{"api", "", []string{}, []string{"store", "check", "--store=bolt:/nowhere/store"}},
		{"local", "", []string{}, []string{"kms", "--listen=192.0.2.1:0", "--state=" + t.TempDir()}},
		{"enclave", "", []string{"more"}, []string{"--config=/nowhere/enclave.yaml"}},
		{"enclave", filepath.Join(dir, "production"), []string{"--config=x"}, []string{}},
		{"bench", filepath.Join(dir, "bench"), []string{}, []string{"http", "--url=http://127.0.0.1:1", "--corpus=/nowhere/corpus"}},
		{"canary", filepath.Join(dir, "canary"), []string{}, []string{"--api-url=:", "--kms-key=k"}},
		{"eif", filepath.Join(dir, "eif"), []string{}, []string{"describe", "/dev/null"}},
	} {
		if p.path == "" {
			p.path = filepath.Join(bin, p.name)
		}
		t.Run(filepath.Base(p.path), func(t *testing.T) {
			stdout, stderr := runProgram(t, p.path, 0, "--version")
			version, ok := strings.CutPrefix(stdout, "redoubt-"+p.name+" ")
			if !ok || !strings.HasSuffix(version, " "+runtime.Version()+"\n") || strings.Count(stdout, " ") != 2 || stderr != "" {
				t.Errorf("--version: %q, %q", stdout, stderr)
			}
			stdout, stderr = runProgram(t, p.path, 0, "--help")
			if !strings.HasPrefix(stdout, "Usage: "+p.name) || !strings.Contains(stdout, "--version") || stderr != "" {
				t.Errorf("--help: %q, %q", stdout, stderr)
			}
			for _, args := range [][]string{{"--versions"}, p.mistake} {
				stdout, stderr = runProgram(t, p.path, 2, args...)
				if stdout != "" || !strings.HasPrefix(stderr, p.name+": ") || !strings.HasSuffix(stderr, "\nTry: "+p.name+" --help\n") {
					t.Errorf("%v: %q, %q", args, stdout, stderr)
				}
			}
			if stdout, stderr = runProgram(t, p.path, 1, p.failure...); stdout != "" || stderr == "" {
				t.Errorf("%v: %q, %q", p.failure, stdout, stderr)
			}
		})
	}
}

// runProgram runs a program with nothing in its environment and returns what it wrote.
func runProgram(t *testing.T, path string, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := proctest.Command(t, path, args...)
	cmd.Env = []string{"HOME=/nowhere", "AWS_EC2_METADATA_DISABLED=true"}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%v: status %d, want %d; %q", args, got, status, errOut.String())
	}
	return out.String(), errOut.String()
}
