package pid1

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entropySize is how much of the module's randomness the kernel's pool is given at start, bytes. Each bit is credited.
const entropySize = 512

// rndAddEntropy is RNDADDENTROPY, _IOW('R', 0x03, int [2]).
const rndAddEntropy = 0x40085203

// SeedEntropy reads from the security module and credits the kernel's random pool with it, so that crypto/rand
// does not depend on what the host feeds the kernel. It needs root.
func SeedEntropy(r Random) error {
	pool, err := poolInfo(r)
	if err != nil {
		return err
	}
	defer clear(pool)
	f, err := os.OpenFile("/dev/random", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("seed entropy: %w", err)
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), rndAddEntropy,
		uintptr(unsafe.Pointer(&pool[0]))); errno != 0 {
		return fmt.Errorf("seed entropy: %w", errno)
	}
	return nil
}

// poolInfo is the kernel's struct rand_pool_info: entropy in bits, size in bytes, then the bytes.
func poolInfo(r Random) ([]byte, error) {
	pool := make([]byte, 8+entropySize)
	binary.NativeEndian.PutUint32(pool, entropySize*8)
	binary.NativeEndian.PutUint32(pool[4:], entropySize)
	if err := r.Random(pool[8:]); err != nil {
		return nil, fmt.Errorf("seed entropy: %w", err)
	}
	return pool, nil
}
