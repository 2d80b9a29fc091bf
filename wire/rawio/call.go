//go:build !race && !wasip1

package rawio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(fd uintptr, b []byte) (int, error) { return call(unix.SYS_READ, fd, b) }

func write(fd uintptr, b []byte) (int, error) { return call(unix.SYS_WRITE, fd, b) }

func call(trap, fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
