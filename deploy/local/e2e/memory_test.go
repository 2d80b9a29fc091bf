package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
)

// searchParent looks for plaintexts in the parent's memory while requests are answered, and after them.
func searchParent(t *testing.T, r *rig, request []byte) {
	pid := r.Process(testkit.Parent).PID()
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); os.IsPermission(err) && os.Geteuid() != 0 {
		t.Skip("the parent's memory is closed to its own user; only root can search it")
	}
	if n := inMemory(t, pid, "metrics-listen"); n == 0 {
		t.Fatal("the search finds nothing at all")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var answered atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a, err := r.post("/v1/decrypt", request); err != nil || a.Status != http.StatusOK {
					t.Errorf("%v, %v", a, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	eventually(t, "load", 20*time.Second, func() bool { return answered.Load() > 20 })
	before := answered.Load()
	for range 2 {
		if n := inMemory(t, pid, sentinel); n > 0 {
			t.Errorf("%d plaintexts in the parent's memory under load", n)
		}
	}
	if answered.Load() == before {
		t.Error("nothing was answered while the memory was searched")
	}
	end()
	if n := inMemory(t, pid, sentinel); n > 0 {
		t.Errorf("%d plaintexts in the parent's memory after the load", n)
	}
}

// inMemory counts a text in the readable memory of a process. Text that lies across two pieces read is not missed:
// pieces overlap.
func inMemory(t *testing.T, pid int, text string) int {
	t.Helper()
	areas, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	const piece = 1 << 20
	buf := make([]byte, piece+len(text))
	found := 0
	for line := range strings.Lines(string(areas)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' ||
			strings.Contains(line, "[v") || to-from > 64<<30 {
			continue
		}
		for at := from; at < to; at += piece {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if err != nil && err != io.EOF && n == 0 {
				continue // a page that is not there, or not readable
			}
			found += bytes.Count(buf[:n], []byte(text))
		}
	}
	return found
}
