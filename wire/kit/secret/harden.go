//go:build !wasip1

package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HardenProcess makes the process undumpable (PR_SET_DUMPABLE 0: no core file, no ptrace and no /proc/PID/mem for
// processes without CAP_SYS_PTRACE) and sets RLIMIT_CORE to 0, hard limit included. Call it first in main. It cannot
// be undone. A process in which it fails SHOULD NOT go on to hold secrets.
func HardenProcess() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}
