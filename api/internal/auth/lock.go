//go:build !wasip1

package auth

import (
	"os"
	"syscall"
)

// flock waits for the lock of a file, which ends when f is closed.
func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
