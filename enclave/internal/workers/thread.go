package workers

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// How a worker's thread gives way (sched(7), sched_setattr(2)).
const (
	// politeNice is the thread's nice value. By the kernel's weights, a thread of value 0 gets nine times as much of a
	// CPU that both want.
	politeNice = 10
	// politeSlice is what the thread asks for at a time: the longest there is. A thread that wakes up and asks for
	// less, as every other of the process does, takes its CPU at once (Linux 6.12; older kernels ignore the value and
	// go by the nice value alone).
	politeSlice = 100 * time.Millisecond
)

// giveWay binds the calling goroutine to a thread of its own for good, which gives way to the process's other threads
// whenever they have work, and yet gets a tenth of a CPU when they always have. It needs no privilege. Where the kernel
// refuses, the thread is as any other. Threads that the runtime starts do not inherit it: it starts none from a thread
// that a goroutine is bound to. It costs 5 to 10 µs to wake a worker, and up to 9 % of the units a second where they
// are interrupted 2,000 times a second (BenchmarkBesideWork).
func giveWay() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: politeNice, Runtime: uint64(politeSlice),
	}, 0)
}
