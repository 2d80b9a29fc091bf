package enclaved

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestTheProcessIsTunedAsConfigured(t *testing.T) {
	procs, limit, percent := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer func() {
		runtime.GOMAXPROCS(procs)
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}()
	cfg := testConfig(t)
	cfg.Work.Workers, cfg.Memory.LimitMiB, cfg.Memory.GCPercent = 3, 256, 50
	Tune(cfg)
	if n := runtime.GOMAXPROCS(0); n != 4 {
		t.Errorf("GOMAXPROCS is %d with three workers", n)
	}
	if n := debug.SetMemoryLimit(-1); n != 256<<20 {
		t.Errorf("memory limit is %d", n)
	}
	if n := debug.SetGCPercent(50); n != 50 {
		t.Errorf("GC percent is %d", n)
	}
	cfg.Work.Workers, cfg.Memory.LimitMiB = 0, 0
	Tune(cfg)
	if n := runtime.GOMAXPROCS(0); n != runtime.NumCPU()+1 {
		t.Errorf("GOMAXPROCS is %d on %d CPUs", n, runtime.NumCPU())
	}
	if n := debug.SetMemoryLimit(-1); n < 64<<20 || n > 1<<50 {
		t.Errorf("memory limit is %d", n)
	}
}
