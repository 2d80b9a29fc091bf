// Package proctest starts programs for tests, so that none outlives its test, finds free ports for them and keeps what
// they log.
//
// A program of [Command] is killed when its test ends, ten seconds before the test's deadline (go test -timeout), and
// when the test's process dies of whatever cause (PR_SET_PDEATHSIG, prctl(2)). So a test whose program hangs fails with
// that program's output, and leaves no orphan that takes a CPU from the next test.
//
// # Limits
//
// Linux alone. A program's own children are not covered: where they matter, they need a process group. The kernel
// sends the signal when the thread that started the program ends, so it must not be a thread that a goroutine is locked
// to and leaves.
//
// A test of this package walks the tree: tests start programs through it, and none waits for other goroutines of a
// synctest bubble while it holds a lock.
package proctest

import (
	"bytes"
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// before is how long before the test's deadline a program is killed: enough for the test to say what it printed.
	before = 10 * time.Second
	// drain bounds the wait for output that a child of the killed program holds open.
	drain = 5 * time.Second
	// runLimit bounds what has no test: the builds of a TestMain.
	runLimit = 15 * time.Minute
)

// Command is exec.Command for a test.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if of, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if d, has := of.Deadline(); has {
			ctx, cancel = context.WithDeadline(context.Background(), d.Add(-before))
		}
	}
	t.Cleanup(cancel) // after the cleanups that are registered later, which may end the program in its own way
	return CommandContext(ctx, name, args...)
}

// Run runs a program to its end, for a TestMain, and returns all that it printed.
func Run(name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	return CommandContext(ctx, name, args...).CombinedOutput()
}

// CommandContext is exec.CommandContext, for a program that is to end earlier than its test. It too dies with the
// test's process.
func CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // a test says which program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = drain
	return cmd
}

// Buffer keeps what a program under test writes, its log for example. The zero value is empty; all methods are safe for
// concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
