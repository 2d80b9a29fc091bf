//go:build guest

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/eif/internal/cpio"
	"redoubt/wire/kit/test/proctest"
)

// testbed is the folder that testbed/*.sh fill.
func testbed(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TESTBED")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "redoubt", "testbed")
	}
	if _, err := os.Stat(filepath.Join(dir, "qemu-nsm")); err != nil {
		t.Fatal("no testbed: run make test-enclave, which builds it")
	}
	return dir
}

// until ends shortly before the whole run's time is up. A guest has all of it: emulated on a machine that is busy, it
// takes ten times as long as on an idle one. The time between shows the console of a guest that hangs.
func until(t *testing.T) context.Context {
	t.Helper()
	end, limited := t.Deadline()
	if !limited {
		end = time.Now().Add(time.Hour)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-20*time.Second))
	t.Cleanup(cancel)
	return ctx
}

// build compiles a static production binary, or with args[0] == "test" a test binary.
func build(t *testing.T, out, pkg string, test bool) string {
	t.Helper()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, pkg}
	if test {
		args = []string{"test", "-c", "-tags=guest", "-trimpath", "-ldflags=-s -w", "-o", out, pkg}
	}
	if pkg == "./enclave" {
		args = append([]string{args[0], "-tags=s2nbignum"}, args[1:]...)
	}
	cmd := proctest.Command(t, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if pkg == "./enclave" {
		cmd.Env = append(cmd.Env, "GOEXPERIMENT=runtimesecret") // as make dist-binary builds it
	}
	cmd.Dir = "../../.."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

type file struct{ src, dst string }

// initrd makes a ramdisk of files (source on the host, destination in the guest).
func initrd(t *testing.T, files []file) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	w := cpio.NewWriter(f)
	errs := []error{w.CharDevice("/dev/console", 5, 1)}
	for _, d := range []string{"/proc", "/sys", "/tmp"} {
		errs = append(errs, w.Dir(d))
	}
	for _, file := range files {
		data, err := os.ReadFile(file.src)
		errs = append(errs, err, w.File(file.dst, 0o755, data))
	}
	if err := errors.Join(append(errs, w.Close(), f.Close())...); err != nil {
		t.Fatal(err)
	}
	return out
}

// console is what a guest printed; safe to read while it grows.
type console struct {
	file string
}

func (c console) text() string {
	b, _ := os.ReadFile(c.file)
	return strings.ReplaceAll(string(b), "\r", "")
}

// keep copies the console to a place that outlives the test, so that a failure can be looked at.
func (c console) keep(t *testing.T) {
	if !t.Failed() {
		return
	}
	dst := filepath.Join(os.TempDir(), "redoubt-console-"+t.Name()+".log")
	_ = os.WriteFile(dst, []byte(c.text()), 0o600)
	lines := strings.Split(c.text(), "\n")
	t.Logf("console kept in %s; its end:\n%s", dst, strings.Join(lines[max(0, len(lines)-60):], "\n"))
}

// qemu starts a guest under a time limit; QEMU exits 0 whatever happens inside.
func qemu(ctx context.Context, t *testing.T, args ...string) (*exec.Cmd, console) {
	t.Helper()
	c := console{filepath.Join(t.TempDir(), "console")}
	out, err := os.Create(c.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	common := []string{
		"-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-accel", "tcg,thread=multi", "-cpu", "max",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
	}
	cmd := proctest.CommandContext(ctx, filepath.Join(testbed(t), "qemu-nsm"), append(common, args...)...)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(&errs, out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.keep(t) })
	return cmd, c
}

// TestProductionEnclaveOverLoopbackVsock runs the whole stack and the drivers' tests inside one guest.
func TestProductionEnclaveOverLoopbackVsock(t *testing.T) {
	bed, dir := testbed(t), t.TempDir()
	bin := func(n string) string { return filepath.Join(dir, n) }
	files := []file{
		{build(t, bin("init"), "./deploy/eif/guest/init", false), "/init"},
		{build(t, bin("enclave"), "./enclave", false), "/bin/enclave"},
		{build(t, bin("parent"), "./parent", false), "/bin/parent"},
		{build(t, bin("local"), "./deploy/local", false), "/bin/local"},
		{build(t, bin("nsm"), "./enclave/internal/nsm", true), "/tests/10-nsm"},
		{build(t, bin("pid1"), "./enclave/internal/pid1", true), "/tests/15-pid1"},
		{build(t, bin("transport"), "./wire/transport", true), "/tests/20-vsock"},
		{build(t, bin("stack"), "./deploy/eif/guest/stack", true), "/tests/30-stack"},
	}
	for i, m := range []string{"nsm", "vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback"} {
		files = append(files, file{filepath.Join(bed, "guest/modules", m+".ko"), fmt.Sprintf("/modules/%02d-%s.ko", i, m)})
	}
	cmd, con := qemu(until(t), t, "-M", "q35", "-m", "1536", "-smp", "2", "-device", "virtio-nsm-pci",
		"-kernel", filepath.Join(bed, "guest/vmlinuz"), "-initrd", initrd(t, files),
		"-append", "console=ttyS0 panic=-1 quiet")
	_ = cmd.Wait()
	text := con.text()
	for line := range strings.Lines(text) {
		if s := strings.TrimSpace(line); strings.HasPrefix(s, "--- ") || strings.HasPrefix(s, "GUEST ") ||
			strings.Contains(s, "_test.go:") {
			t.Log(s)
		}
	}
	if !strings.Contains(text, "GUEST EXIT 0\n") {
		t.Fatal("the guest did not end well")
	}
}
