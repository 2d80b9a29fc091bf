//go:build !wasip1

package secret

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/program"
)

// HardenProcess makes the process undumpable (PR_SET_DUMPABLE 0: no core file, no ptrace and no /proc/PID/mem for
// processes without CAP_SYS_PTRACE) and sets RLIMIT_CORE to 0, hard limit included. Call it first in main. It cannot
// be undone. A process in which it fails SHOULD NOT go on to hold secrets.
//
// It also silences the standard library's log package: net/http prints there what a peer sent out of turn, and so
// part of an answer. Programs log by log/slog, whose default printed by that package and prints to stderr now.
func HardenProcess() error {
	slog.SetDefault(program.NewLogger(os.Stderr, slog.LevelInfo))
	log.SetOutput(io.Discard) // after SetDefault, which would have it print by slog
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}
