package parentd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/test/proctest"
)

// hardened names what this program does when it runs itself again.
const hardened = "REDOUBT_HARDEN_CHILD"

func init() {
	if os.Getenv(hardened) == "" {
		return
	}
	if err := hardenAndLook(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func hardenAndLook() error {
	before, err := capabilities("CapAmb")
	if err != nil || before == 0 {
		return fmt.Errorf("no ambient capability to begin with: %w", err)
	}
	if err := Harden(); err != nil {
		return err
	}
	ambient, err1 := capabilities("CapAmb")
	effective, err2 := capabilities("CapEff")
	if ambient != 0 || effective&(1<<unix.CAP_NET_BIND_SERVICE) == 0 {
		return fmt.Errorf("ambient %x, effective %x", ambient, effective)
	}
	return errors.Join(err1, err2)
}

// capabilities are those of a set that any thread of the process has.
func capabilities(set string) (all uint64, err error) {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(status), "\n"+set+":")
		var one uint64
		if _, err := fmt.Sscanf(rest, "%x", &one); err != nil {
			return 0, err
		}
		all |= one
	}
	return all, nil
}

// The unit gives the parent CAP_NET_BIND_SERVICE as an ambient capability, which programs that it starts would inherit.
func TestProgramsThatTheParentStartsInheritNoCapability(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno != 0 {
		t.Skip("a build with cgo does not change all threads:", errno)
	}
	effective, err := capabilities("CapEff")
	if err != nil || effective&(1<<unix.CAP_NET_BIND_SERVICE) == 0 {
		t.Skip("the test has not the capability itself")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := proctest.Command(t, self)
	cmd.Env = []string{hardened + "=1"}
	cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_BIND_SERVICE}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
