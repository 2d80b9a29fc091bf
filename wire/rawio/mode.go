//go:build !wasip1

package rawio

import "golang.org/x/sys/unix"

// neverWaits reports whether a descriptor is in non-blocking mode.
func neverWaits(fd uintptr) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK != 0
}
