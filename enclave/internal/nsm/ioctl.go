//go:build !wasip1

package nsm

import (
	"os"
	"runtime"
	"unsafe"

	"github.com/hf/nsm/ioc"
	"golang.org/x/sys/unix"
)

const (
	devicePath = "/dev/nsm"
	ioctlMagic = 0x0a
)

// driver is the open device.
type driver struct{ file *os.File }

func openDriver() (channel, error) {
	file, err := os.OpenFile(devicePath, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &driver{file: file}, nil
}

// message is the ioctl's argument, struct nsm_raw of Linux's uapi/linux/nsm.h.
type message struct{ request, response unix.Iovec }

// exchange makes the ioctl. hf/nsm has one too, but it passes the address of a variable on its stack as a number
// through a function value: if the stack moves in between, the kernel writes elsewhere. Here the message is pinned,
// and the conversion stands in the call's own argument list, as package unsafe demands.
func (d *driver) exchange(request, answer []byte) (int, error) {
	msg := new(message)
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(msg)
	pins.Pin(&request[0])
	pins.Pin(&answer[0])
	msg.request.Base, msg.response.Base = &request[0], &answer[0]
	msg.request.SetLen(len(request))
	msg.response.SetLen(len(answer))
	command := ioc.Command(ioc.READ|ioc.WRITE, ioctlMagic, 0, uint(unsafe.Sizeof(*msg)))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), uintptr(command), uintptr(unsafe.Pointer(msg)))
	runtime.KeepAlive(d.file)
	if errno != 0 {
		return 0, errno
	}
	return int(min(msg.response.Len, uint64(len(answer)))), nil
}

func (d *driver) Close() error { return d.file.Close() }
