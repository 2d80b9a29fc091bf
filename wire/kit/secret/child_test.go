package secret

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/test/proctest"
)

// Limits of a process can only be lowered, and hardening cannot be undone: these run in children of the test, which
// print what they saw.
var children = map[string]func(){
	"require": func() { lowLimit(); report(New(1 << 20)) },
	"warn": func() {
		lowLimit()
		SetPolicy(WarnUnlocked)
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, nil)))
		report(New(1 << 20))
		report(New(1 << 20))
		fmt.Println("unlocked", Stats().Unlocked)
	},
	"harden": func() {
		if err := HardenProcess(); err != nil {
			fmt.Println("error", err)
			return
		}
		log.Print("what a peer sent")
		slog.Warn("ours")
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var core unix.Rlimit
		fmt.Println("dumpable", dumpable, err, unix.Getrlimit(unix.RLIMIT_CORE, &core), core.Cur, core.Max)
	},
	"fault": func() {
		b, err := NewFrom([]byte("sentinel"))
		if err != nil {
			fmt.Println("error", err)
			return
		}
		mem := b.Bytes()
		b.Destroy()
		fmt.Println("read", mem[0])
	},
}

// lowLimit takes the right to lock more than 64 KiB away, from this thread and so from this child's main goroutine.
func lowLimit() {
	runtime.LockOSThread()
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 16}); err != nil {
		fmt.Println("error", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		fmt.Println("error", err)
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	data[0].Permitted &^= 1 << unix.CAP_IPC_LOCK
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		fmt.Println("error", err)
	}
}

func report(b *Buffer, err error) {
	var lock *LockError
	fmt.Printf("got=%t lockerror=%t", b != nil, errors.As(err, &lock))
	if lock != nil {
		fmt.Printf(" want=%d limit=%d system=%t text=%q", lock.Want, lock.Limit,
			errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM), err.Error())
	}
	fmt.Println()
}

func child(t *testing.T, name string) (string, error) {
	t.Helper()
	cmd := proctest.Command(t, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "SECRET_TEST_CHILD="+name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func TestTooLowALimitIsRefusedWithAClearError(t *testing.T) {
	out, err := child(t, "require")
	if err != nil || !strings.HasPrefix(out, "got=false lockerror=true want=1048576 limit=65536 system=true") ||
		!strings.Contains(out, "raise RLIMIT_MEMLOCK") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTooLowALimitWarnsOnceAndContinuesWhenToldTo(t *testing.T) {
	out, err := child(t, "warn")
	if err != nil || strings.Count(out, "level=WARN") != 1 || !strings.Contains(out, "limit_bytes=65536") ||
		strings.Count(out, "got=true lockerror=false") != 2 || !strings.Contains(out, "unlocked 2097152") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestHardenProcessForbidsDumps(t *testing.T) {
	out, err := child(t, "harden")
	if err != nil || !strings.HasSuffix(out, "dumpable 0 <nil> <nil> 0 0\n") {
		t.Errorf("%v: %s", err, out)
	}
}

// net/http logs by package log the beginning of an answer that nobody asked for.
func TestHardenProcessDropsWhatLibrariesPrintOfAPeersBytes(t *testing.T) {
	out, err := child(t, "harden")
	if err != nil || strings.Contains(out, "what a peer sent") || !strings.Contains(out, `"msg":"ours"`) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestReadingADestroyedBufferFaults(t *testing.T) {
	out, err := child(t, "fault")
	if err == nil || strings.Contains(out, "read") || !strings.Contains(out, "fault") {
		t.Errorf("%v: %.200s", err, out)
	}
}
