package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/wire/kit/program"
	"redoubt/wire/kit/test/proctest"
)

// command runs the program local with a folder for temporary files of its own, by which its processes are found.
func command(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rdc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := proctest.Command(t, filepath.Join(bin, "local"), args...)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // the program ends its own children
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "LOCAL_STATE="+filepath.Join(dir, "state"))
	return cmd, dir
}

// processesOf lists the command lines that name dir: the stack's processes all do.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range entries {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

func wantNoProcess(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		left := processesOf(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestTheDemoShowsADetokenizationAndLeavesNothingBehind(t *testing.T) {
	cmd, dir := command(t, "demo", "--bin", bin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.Bytes())
	}
	for _, want := range []string{"encrypted_private_key", `"ssn_masked": "*****1120"`, "what was sealed"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	wantNoProcess(t, dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestADemoThatFailsSaysWhyAndLeavesNothingBehind(t *testing.T) {
	broken := t.TempDir()
	for _, name := range []string{"parent", "api", "local"} {
		if err := os.Symlink(filepath.Join(bin, name), filepath.Join(broken, name)); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho the reason >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(broken, "enclave"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd, dir := command(t, "demo", "--bin", broken)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v", err)
	}
	if !bytes.Contains(out, []byte("enclave: exit status 3")) || !bytes.Contains(out, []byte("the reason")) {
		t.Errorf("output %s", out)
	}
	wantNoProcess(t, dir)
}

// runStack starts `local run` and returns when it serves, with the curl lines it printed.
func runStack(t *testing.T) (cmd *exec.Cmd, dir string, curls []string) {
	t.Helper()
	cmd, dir = command(t, "run", "--bin", bin, "--free-ports", "--quiet")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		if line := strings.TrimSpace(scan.Text()); strings.HasPrefix(line, "curl ") {
			curls = append(curls, line)
		}
		if strings.Contains(scan.Text(), "Serving until") && len(curls) > 4 {
			go io.Copy(io.Discard, out)
			return cmd, dir, curls
		}
	}
	t.Fatalf("run ended: %v", cmd.Wait())
	return nil, "", nil
}

// byFile are the lines that send a file: those for the parent.
func byFile(curls []string) []string {
	return slices.DeleteFunc(slices.Clone(curls), func(line string) bool { return !strings.Contains(line, "-d @") })
}

// parseCurl reads a printed line, so that the test needs no curl.
func parseCurl(t *testing.T, line string) (url string, body []byte) {
	t.Helper()
	url = strings.Fields(line)[2]
	if _, file, ok := strings.Cut(line, "-d @"); ok {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return url, body
	}
	_, data, ok := strings.Cut(line, "-d '")
	if !ok {
		t.Fatalf("no body in %s", line)
	}
	return url, []byte(strings.TrimSuffix(data, "'"))
}

func TestTheCurlLinesOfRunWorkAndItEndsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd, dir, curls := runStack(t)
			if n := len(processesOf(t, dir)); n < 4 {
				t.Errorf("only %d processes run", n)
			}
			opened := 0
			for _, line := range byFile(curls) {
				url, body := parseCurl(t, line)
				answer, status := curl(t, url, body)
				if status != 200 || !strings.Contains(answer, `"email":"ada@example.com"`) || !strings.Contains(answer, `"age":`) {
					t.Errorf("%s: status %d: %s", line, status, answer)
				}
				opened++
			}
			if opened != 3 {
				t.Errorf("%d of the lines ask for a decryption", opened)
			}
			url, body := parseCurl(t, curls[0])
			created, status := curl(t, url, body)
			_, id, _ := strings.Cut(strings.TrimRight(created, "\"}\n"), `:"`)
			if status != 200 || !strings.HasPrefix(id, "v_") {
				t.Fatalf("create: status %d: %s", status, created)
			}
			url, body = parseCurl(t, curls[1])
			answer, status := curl(t, strings.Replace(url, "/ID/", "/"+id+"/", 1), body)
			if status != 200 || !strings.Contains(answer, `"*****1120"`) || !strings.Contains(answer, `"Ada"`) {
				t.Errorf("decrypt: status %d: %s", status, answer)
			}
			begin := time.Now()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("ended with %v", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("ending took %v", took)
			}
			wantNoProcess(t, dir)
		})
	}
}

func TestNothingOutlivesALauncherThatIsKilled(t *testing.T) {
	cmd, dir, _ := runStack(t)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	wantNoProcess(t, dir)
}

func TestRunReplacesAProcessThatIsKilled(t *testing.T) {
	_, dir, curls := runStack(t)
	url, body := parseCurl(t, byFile(curls)[0])
	for _, name := range []string{"enclave", "parent", "local kms"} {
		killed := false
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range paths {
			line, err := os.ReadFile(path)
			text := string(bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
			if err != nil || !strings.Contains(text, dir) || !strings.HasPrefix(text, filepath.Join(bin, name)+" ") {
				continue
			}
			killed = syscall.Kill(atoi(t, filepath.Base(filepath.Dir(path))), syscall.SIGKILL) == nil
		}
		if !killed {
			t.Fatalf("no process %s", name)
		}
		eventually(t, "service after the end of "+name, 20*time.Second, func() bool {
			_, status := curl(t, url, body)
			return status == 200
		})
	}
}

func TestTheStandInRefusesToBeReachable(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, program.Failed, "loopback addresses"},
		{[]string{"--listen", "127.0.0.1:0", "--tls-listen", ":0"}, program.Failed, "loopback addresses"},
		{[]string{"--listen", "127.0.0.1:0", "--allow-pcr", "0=" + strings.Repeat("0", 96)}, program.Failed, "policy"},
		{[]string{"--listen", "127.0.0.1:0", "--allow-pcr", "zero=1"}, program.Usage, "--allow-pcr zero=1"},
	} {
		cmd, _ := command(t, append([]string{"kms"}, c.args...)...)
		done := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		done.Stop()
		if err == nil || cmd.ProcessState.ExitCode() != c.status || !bytes.Contains(out, []byte(c.says)) {
			t.Errorf("%q: %v: %s", c.args, err, out)
		}
	}
}

func TestTwoStacksDoNotShareAState(t *testing.T) {
	r := shared.get(t)
	cmd, _ := command(t, "run", "--bin", bin, "--free-ports", "--state", r.state)
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("another local stack")) {
		t.Errorf("%v: %s", err, out)
	}
}
