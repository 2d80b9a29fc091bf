package app

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/secret"
)

// Harden makes the process undumpable, keeps its capabilities from the programs that it starts, and lets secrets lie in
// memory that could not be locked (with a warning by package secret): what the parent keeps are its own host's
// credentials.
func Harden() error {
	secret.SetPolicy(secret.WarnUnlocked)
	if err := keepCapabilities(); err != nil {
		return err
	}
	return secret.HardenProcess()
}

// keepCapabilities empties the ambient set of every thread: the process keeps what it has, and nitro-cli, which it
// starts, inherits nothing. A build with cgo cannot do so for all threads, and is for tests alone.
func keepCapabilities() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL,
		0, 0, 0, 0)
	if errno != 0 && !errors.Is(errno, unix.ENOTSUP) {
		return fmt.Errorf("empty the ambient capabilities: %w", errno)
	}
	return nil
}
