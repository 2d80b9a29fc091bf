//go:build !wasip1

package secret

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pages is a range of whole pages outside the Go heap.
type pages struct {
	mem    []byte
	locked bool
}

// mapPages returns at least n bytes of zeroed, locked, undumpable memory.
func mapPages(n int) (pages, error) {
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return pages{}, fmt.Errorf("map secret memory: %w", err)
	}
	p := pages{mem: mem}
	if err := p.protect(); err != nil {
		_ = unix.Munmap(mem)
		return pages{}, err
	}
	stats.mapped.Add(int64(size))
	if p.locked {
		stats.locked.Add(int64(size))
	} else {
		stats.unlocked.Add(int64(size))
	}
	return p, nil
}

// protect keeps the pages out of dumps, child processes and swap, in this order. Nothing secret is in them yet.
func (p *pages) protect() error {
	if err := unix.Madvise(p.mem, unix.MADV_DONTDUMP); err != nil {
		return fmt.Errorf("keep secret memory out of core dumps: %w", err)
	}
	if unix.Madvise(p.mem, unix.MADV_WIPEONFORK) != nil { // before Linux 4.14
		if err := unix.Madvise(p.mem, unix.MADV_DONTFORK); err != nil {
			return fmt.Errorf("keep secret memory from child processes: %w", err)
		}
	}
	if err := unix.Mlock(p.mem); err != nil {
		return refused(&LockError{
			Want: uint64(len(p.mem)), Locked: uint64(max(0, stats.locked.Load())), Limit: lockLimit(), err: err,
		})
	}
	p.locked = true
	return nil
}

// release wipes the pages and returns them to the kernel. Slices of them fault from here on.
func (p *pages) release() {
	if p.mem == nil {
		return
	}
	Wipe(p.mem)
	size := int64(len(p.mem))
	stats.mapped.Add(-size)
	if p.locked {
		stats.locked.Add(-size)
	} else {
		stats.unlocked.Add(-size)
	}
	_ = unix.Munmap(p.mem) // fails only for ranges that are not mapped; munmap also unlocks
	p.mem = nil
}

func lockLimit() uint64 {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) != nil {
		return 0
	}
	return lim.Cur
}
