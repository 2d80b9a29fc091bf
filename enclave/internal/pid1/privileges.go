package pid1

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits of the process, set before root is given up.
const maxFiles = 65536

// DropPrivileges gives the security module's device to the enclave's user, sets the process's limits (locked memory
// without bound, no core dumps) and leaves root for good, in every thread. It must come after [Prepare] and
// [SeedEntropy], and before anything is read from the parent.
func DropPrivileges(devices ...string) error {
	for _, d := range devices {
		if err := os.Chown(d, UID, GID); err != nil {
			return fmt.Errorf("drop privileges: %w", err)
		}
	}
	for _, l := range []struct {
		resource int
		value    uint64
	}{{unix.RLIMIT_MEMLOCK, unix.RLIM_INFINITY}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, maxFiles}} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("drop privileges: set limit: %w", err)
		}
	}
	// The syscall package's setters apply to all threads of the process. Those of x/sys/unix and a plain prctl would
	// not.
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(GID, GID, GID),
		syscall.Setresuid(UID, UID, UID)); err != nil {
		return fmt.Errorf("drop privileges: %w", err)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("drop privileges: %w", errno)
	}
	if syscall.Setuid(0) == nil {
		return errors.New("drop privileges: root could be taken back")
	}
	return nil
}
