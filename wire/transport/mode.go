//go:build !wasip1

package transport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownersOnly gives a socket that is not bound yet the mode 0600.
func ownersOnly(_, _ string, raw syscall.RawConn) error {
	var cerr error
	err := raw.Control(func(fd uintptr) { cerr = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(err, cerr)
}
