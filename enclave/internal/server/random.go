//go:build !wasip1

package server

import "golang.org/x/sys/unix"

// randomReady reports whether the kernel's random number generator has been seeded.
func randomReady() bool {
	var b [1]byte
	n, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK)
	return err == nil && n == 1
}
