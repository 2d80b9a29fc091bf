//go:build !wasip1

package front

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending reports whether the kernel holds bytes that the client has sent and that were not read: FIONREAD of
// ioctl_list(2).
func pending(c net.Conn) bool {
	s, ok := socket(c).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}
