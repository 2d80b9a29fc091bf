//go:build !wasip1

package workers

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// These make a worker's thread give way (sched(7), sched_setattr(2)).
const (
	// politeNice is the thread's nice value. By the kernel's weights, a thread of value 0 gets nine times as much of
	// a CPU that both want.
	politeNice = 10
	// politeSlice is the time slice that the thread asks for: the longest there is. A thread that wakes up and asks
	// for a shorter one, as every other thread of the process does, takes its CPU at once. (Linux 6.12; older kernels
	// ignore the value and go by the nice value alone.)
	politeSlice = 100 * time.Millisecond
)

// giveWay binds the calling goroutine for good to a thread of its own. The thread gives way to the process's other
// threads whenever they have work, and yet gets a tenth of a CPU when they always have. It needs no privilege. If the
// kernel refuses, the thread is scheduled like any other. Threads that the runtime starts do not inherit the setting:
// the runtime starts none from a thread to which a goroutine is bound. The cost is 5 to 10 µs to wake a worker, and
// up to 9 % of the units a second where they are interrupted 2,000 times a second (BenchmarkBesideWork).
func giveWay() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: politeNice, Runtime: uint64(politeSlice),
	}, 0)
}
