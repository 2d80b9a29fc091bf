package pid1

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entropySize is how many bytes of the module's randomness the kernel's pool gets at start. Each bit is credited.
const entropySize = 512

const (
	// rndAddEntropy is RNDADDENTROPY, _IOW('R', 0x03, int [2]).
	rndAddEntropy = 0x40085203
	// rndReseedCRNG is RNDRESEEDCRNG, _IO('R', 0x07).
	rndReseedCRNG = 0x5207
)

// ioctl is the system call on the kernel's random device. arg is nil for a request without one.
type ioctl func(request uintptr, arg []byte) error

// SeedEntropy reads from the security module, credits the kernel's random pool with it, and has the kernel's
// generator reseeded from the pool. So crypto/rand does not depend on what the host feeds the kernel. It needs root.
func SeedEntropy(r Random) error {
	f, err := os.OpenFile("/dev/random", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("seed entropy: %w", err)
	}
	defer f.Close()
	return seed(r, func(request uintptr, arg []byte) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request,
			uintptr(unsafe.Pointer(unsafe.SliceData(arg)))); errno != 0 {
			return errno
		}
		return nil
	})
}

// seed adds to the pool and then reseeds. Since Linux 5.18, adding alone changes nothing for a generator that is
// ready: its next reseed can be a minute away, and the keys of the start would be made before it.
func seed(r Random, random ioctl) error {
	pool, err := poolInfo(r)
	if err != nil {
		return err
	}
	defer clear(pool)
	if err := random(rndAddEntropy, pool); err != nil {
		return fmt.Errorf("seed entropy: credit: %w", err)
	}
	if err := random(rndReseedCRNG, nil); err != nil {
		return fmt.Errorf("seed entropy: reseed: %w", err)
	}
	return nil
}

// poolInfo is the kernel's struct rand_pool_info: entropy in bits, size in bytes, then the bytes.
func poolInfo(r Random) ([]byte, error) {
	pool := make([]byte, 8+entropySize)
	binary.NativeEndian.PutUint32(pool, entropySize*8)
	binary.NativeEndian.PutUint32(pool[4:], entropySize)
	if err := r.Random(pool[8:]); err != nil {
		clear(pool)
		return nil, fmt.Errorf("seed entropy: %w", err)
	}
	return pool, nil
}
