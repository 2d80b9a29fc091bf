package proctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const role = "PROCTEST_ROLE"

// asStarter is the test's process of TestAProgramDiesWithTheTestsProcess: it starts a program and says its pid.
func asStarter() {
	cmd := CommandContext(context.Background(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	_ = cmd.Wait()
}

func TestAProgramEndsWithItsTest(t *testing.T) {
	var cmd *exec.Cmd
	var waited error
	t.Run("that leaves it", func(t *testing.T) {
		cmd = Command(t, "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	waited = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(waited, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", waited)
	}
}

// deadlined is a test that has little time left.
type deadlined struct{ *testing.T }

func (deadlined) Deadline() (time.Time, bool) {
	return time.Now().Add(before + 50*time.Millisecond), true
}

func TestAProgramEndsBeforeItsTestsDeadline(t *testing.T) {
	if err := Command(deadlined{t}, "sleep", "1000").Run(); err == nil {
		t.Error("it ended well")
	}
}

func TestAProgramDiesWithTheTestsProcess(t *testing.T) {
	starter := Command(t, os.Args[0], "-test.run=^$")
	starter.Env = append(os.Environ(), role+"=starter")
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid); err != nil {
		t.Fatal(err)
	}
	_ = starter.Process.Kill()
	_ = starter.Wait()
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it lives on")
		}
	}
}

// zombie reports whether a process has ended and only waits for its parent to look.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var id int
	var name, state string
	_, scan := fmt.Sscan(string(text), &id, &name, &state)
	return err != nil || scan == nil && state == "Z"
}

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		asStarter()
		return
	}
	os.Exit(m.Run())
}
