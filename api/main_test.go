package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/test/proctest"
)

const nobody = 65534

// TestTheServingProcessLeavesNoCoreAndCannotBeRead looks at the real binary from outside.
func TestTheServingProcessLeavesNoCoreAndCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "api")
	if out, err := proctest.Command(t, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := proctest.CommandContext(ctx, binary, "serve", "--listen=127.0.0.1:0", "--metrics-listen=off", "--admin=off",
		"--store=bolt:"+filepath.Join(dir, "db"), "--kms-endpoint=http://127.0.0.1:1")
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local-secret")
	if os.Getuid() == 0 { // root's files look alike
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, d := range []string{filepath.Dir(dir), dir} {
			if err := os.Chmod(d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := &strings.Builder{}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	for buf := make([]byte, 1024); !strings.Contains(log.String(), `"serving"`); {
		n, err := stderr.Read(buf)
		log.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v %s", err, log)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("%v %s", err, limits)
	}
	// The files of an undumpable process belong to root; those of any other belong to its user.
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid), &st); err != nil || st.Uid != 0 {
		t.Errorf("environ belongs to %d, %v", st.Uid, err)
	}
}
