package bed

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepTo binds this process to the first n CPUs. undo lets it run where it ran before.
func keepTo(n int) (undo func() error, err error) {
	var before, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("own CPUs: %w", err)
	}
	for cpu := range n {
		first.Set(cpu)
	}
	return func() error { return bind(&before) }, bind(&first)
}

// bind sets the CPUs of each thread. A thread that is made meanwhile has those of the one that made it, so the second
// round finds each that the first has missed.
func bind(set *unix.CPUSet) error {
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("own threads: %w", err)
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("own threads: %w", err)
			}
			if err := unix.SchedSetaffinity(id, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("bind to CPUs: %w", err)
			}
		}
	}
	return nil
}
