package workers

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// policy is how the kernel schedules the calling thread.
func policy(t *testing.T) (p struct{ policy, nice int }) {
	t.Helper()
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Error(err)
		return p
	}
	p.policy, p.nice = int(a.Policy), int(a.Nice)
	return p
}

func TestAWorkerThatGivesWayHasALowerPriorityThanTheRest(t *testing.T) {
	before := policy(t)
	p := New(Config{Workers: 2, GiveWay: true})
	for range 2 {
		p.Do(Single, 0, func() {
			if got := policy(t); got.policy != unix.SCHED_BATCH || got.nice != politeNice {
				t.Errorf("a worker's thread has %+v", got)
			}
		})
	}
	p.Do(Single, 0, func() { // what a worker starts is not a worker
		spread(t, before)
	})
	p.Close()
	spread(t, before)
}

// spread looks at the threads of many goroutines at once, so that the runtime has to start new ones.
func spread(t *testing.T, want struct{ policy, nice int }) {
	t.Helper()
	var all, wg sync.WaitGroup
	all.Add(32)
	for range 32 {
		wg.Go(func() {
			blockThread(t)
			all.Done()
			all.Wait()
			if got := policy(t); got != want {
				t.Errorf("another thread has %+v, want %+v", got, want)
			}
		})
	}
	wg.Wait()
}

// blockThread keeps its thread in a system call for a moment.
func blockThread(t *testing.T) {
	t.Helper()
	ts := unix.NsecToTimespec(int64(5 * time.Millisecond))
	if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
		t.Error(err)
	}
}

func TestThreadsOfWorkersEndWithThem(t *testing.T) {
	threads := func() int {
		d, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range d {
			var tid int
			if _, err := fmt.Sscan(e.Name(), &tid); err != nil {
				t.Fatal(err)
			}
			// The runtime cannot end the process's first thread, it parks it.
			if a, err := unix.SchedGetAttr(tid, 0); err == nil && a.Policy == unix.SCHED_BATCH && tid != os.Getpid() {
				n++
			}
		}
		return n
	}
	p := New(Config{Workers: 3, GiveWay: true})
	p.Do(Single, 0, func() {})
	p.Close()
	for end := time.Now().Add(10 * time.Second); threads() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d threads of workers are left", threads())
		}
	}
}
