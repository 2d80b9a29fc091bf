//go:build !wasip1

package parentd

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/secret"
)

// Harden makes the process undumpable, and keeps its capabilities from the programs that it starts. It also lets
// secrets lie in memory that could not be locked (with a warning by package secret), since the parent's secrets are
// its own host's credentials.
func Harden() error {
	secret.SetPolicy(secret.WarnUnlocked)
	if err := keepCapabilities(); err != nil {
		return err
	}
	return secret.HardenProcess()
}

// keepCapabilities empties the ambient set of every thread. The process keeps its capabilities, and nitro-cli, which
// it starts, inherits none. A build with cgo cannot do so for all threads, and is only for tests.
func keepCapabilities() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL,
		0, 0, 0, 0)
	if errno != 0 && !errors.Is(errno, unix.ENOTSUP) {
		return fmt.Errorf("empty the ambient capabilities: %w", errno)
	}
	return nil
}
