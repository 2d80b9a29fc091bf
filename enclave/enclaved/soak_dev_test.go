//go:build dev

package enclaved

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/wire"
)

var soak = flag.Int("soak", 40_000, "requests of TestManyRequestsLeaveNothingBehind")

// footprint is what a process takes.
type footprint struct{ rssKB, descriptors, goroutines int64 }

func (r *rig) footprint() (f footprint) {
	r.t.Helper()
	r.collect()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if f.rssKB, err = strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err != nil {
		r.t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	f.descriptors = int64(len(open))
	var m wire.Stats
	if err := r.client.Stats(r.t.Context(), &m); err != nil {
		r.t.Fatal(err)
	}
	f.goroutines, _ = m.Value(wire.StatGaugeGoroutines)
	return f
}

// TestManyRequestsLeaveNothingBehind makes requests of an enclave process, hot and with an expression, and compares its
// memory, descriptors and goroutines after a tenth of them and after all. Run it with -soak=1000000 for the long one.
func TestManyRequestsLeaveNothingBehind(t *testing.T) {
	r := newRig(t, "")
	_, fields, qs := r.sealedPair()
	qs[1].AddExpression([]byte("x"), []byte("a.to_uppercase()"))
	qs[1].Compat = true
	run := func(n int) {
		var left atomic.Int64
		left.Store(int64(n))
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := ask(r.client, qs[i%2], fields); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run(*soak / 10)
	before := r.footprint()
	run(*soak - *soak/10)
	after := r.footprint()
	t.Logf("%d requests: after a tenth %+v, after all %+v", *soak, before, after)
	if after.rssKB > before.rssKB+16<<10 {
		t.Errorf("resident memory grew from %d to %d KB", before.rssKB, after.rssKB)
	}
	if after.descriptors > before.descriptors+2 || after.goroutines > before.goroutines+4 {
		t.Errorf("descriptors %d to %d, goroutines %d to %d", before.descriptors, after.descriptors, before.goroutines,
			after.goroutines)
	}
}
