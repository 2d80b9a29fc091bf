//go:build guest

package pid1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"redoubt/enclave/internal/nsm"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/test/proctest"
)

// These run as root in a throw-away test guest with a /dev/nsm (make test-enclave).

// child names what this program does when it runs itself again: giving up root cannot be undone.
const child = "REDOUBT_PID1_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	if err := dropAndLook(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func TestGuestEntropyOfTheModuleIsCreditedAndNeedsRoot(t *testing.T) {
	module := nsm.Open()
	t.Cleanup(func() { _ = module.Close() })
	if err := SeedEntropy(module); err != nil {
		t.Fatal(err)
	}
}

// TestGuestRootIsGoneInEveryThread runs this program again, as root, with a heartbeat that nobody listens to.
func TestGuestRootIsGoneInEveryThread(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := proctest.Command(t, self)
	cmd.Env = []string{child + "=1"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "heartbeat") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func dropAndLook() error {
	module := nsm.Open()
	// Opened before root is given up, as the enclave does; the descriptor stays good.
	if _, err := module.Describe(); err != nil {
		return err
	}
	if err := Boot(context.Background(), module, "vsock://1:9000", program.NewLogger(os.Stdout, slog.LevelInfo)); err != nil {
		return err
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	if len(tasks) < 3 {
		return fmt.Errorf("only %d threads", len(tasks))
	}
	for _, status := range tasks {
		if err := unprivileged(status); err != nil {
			return err
		}
	}
	fmt.Println(len(tasks), "threads without root")
	return errors.Join(limits(), refusals(module))
}

// unprivileged reads a thread's status: its ids are the enclave's, it has no capability and no group, and can gain none.
func unprivileged(status string) error {
	f, err := os.Open(status)
	if err != nil {
		return err
	}
	defer f.Close()
	want := map[string]string{
		"Uid": "10001 10001 10001 10001", "Gid": "10001 10001 10001 10001", "Groups": "",
		"CapPrm": "0000000000000000", "CapEff": "0000000000000000", "NoNewPrivs": "1",
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if w, ok := want[name]; ok && strings.Join(strings.Fields(value), " ") != w {
			return fmt.Errorf("%s: %s is %q, want %q", status, name, value, w)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		return fmt.Errorf("%s does not say %v", status, want)
	}
	return lines.Err()
}

func limits() error {
	var core, locked unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_CORE, &core),
		unix.Getrlimit(unix.RLIMIT_MEMLOCK, &locked)); err != nil {
		return err
	}
	if core.Max != 0 || locked.Cur != unix.RLIM_INFINITY {
		return fmt.Errorf("core %+v, locked memory %+v", core, locked)
	}
	return nil
}

// refusals are what must fail now; the module must not.
func refusals(module nsm.Module) error {
	if _, err := module.Describe(); err != nil {
		return err
	}
	return errors.Join(refused("crediting entropy", SeedEntropy(module)),
		refused("mounting", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "")))
}

func refused(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return errors.Join(errors.New(what+" without root was not refused"), err)
}
