package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"redoubt/api/internal/apitest"
)

// resident is the most memory that a process has had so far, in bytes.
func resident(t *testing.T, pid int) (n int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &n); err == nil {
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// Bodies of a megabyte that are nothing but small values, 48 at once, make the process grow by a few times their size.
func TestManyHostileBodiesAreSurvived(t *testing.T) {
	const (
		callers = 48
		most    = 6 // bytes of the process for a byte in flight
	)
	s := start(t, apitest.NewStack(t), filepath.Join(t.TempDir(), "store.db"))
	part := `{"a":1},`
	body := `{"fields":[` + strings.Repeat(part, (1<<20-32)/len(part)) + `{}],"reason":"r"}`
	before := resident(t, s.Process.Pid)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			resp, err := http.Post(s.url+"/v1/vaults/v_1/decrypt", "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			if resp.StatusCode != http.StatusUnprocessableEntity && resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d", resp.StatusCode)
			}
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
	grown := float64(resident(t, s.Process.Pid) - before)
	t.Logf("%d MB became %.0f MB: %.1f bytes for a byte", before>>20, (float64(before)+grown)/(1<<20),
		grown/float64(callers*len(body)))
	if grown > most*callers*float64(len(body)) {
		t.Errorf("the process grew by %.0f bytes, %.1f for each byte of the bodies", grown, grown/float64(callers*len(body)))
	}
}
