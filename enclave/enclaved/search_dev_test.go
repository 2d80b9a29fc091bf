//go:build dev

package enclaved

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// search returns how often each needle occurs in a process's memory, by kind of memory: "needle in heap" → count.
func search(t *testing.T, pid int, needles map[string][]byte) map[string]int {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	var files [3]*os.File
	for i, name := range []string{"maps", "mem", "pagemap"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		files[i] = f
	}
	found, read := map[string]int{}, 0
	for lines := bufio.NewScanner(files[0]); lines.Scan(); {
		f := strings.Fields(lines.Text())
		var from, to int64
		if n, _ := fmt.Sscanf(f[0], "%x-%x", &from, &to); n != 2 || f[1][0] != 'r' || strings.HasPrefix(last(f), "[v") {
			continue
		}
		resident(files[2], from, to, func(from, to int64) {
			b := make([]byte, to-from)
			if _, err := files[1].ReadAt(b, from); err != nil {
				return
			}
			read += len(b)
			for name, needle := range needles {
				for _, at := range indexes(b, needle) {
					if inSignalFrame(b, at) {
						found[name+inFrame]++
					} else {
						found[name+" in "+kindOf(from, f)]++
					}
				}
			}
		})
	}
	if read < 4<<20 {
		t.Fatalf("only %d bytes of memory could be read", read)
	}
	return found
}

func indexes(b, needle []byte) (out []int) {
	for at := 0; ; at += len(needle) {
		n := bytes.Index(b[at:], needle)
		if n < 0 {
			return out
		}
		at += n
		out = append(out, at)
	}
}

// inFrame marks what a signal left: stopping a thread, the kernel saves its vector registers on the thread's signal
// stack, where they stay until its next signal. Amid a copy they hold what is copied.
const inFrame = " in a signal frame"

// inSignalFrame tells whether b[at] is in such a frame: its 512 bytes of FXSAVE end in a note that begins with
// FP_XSTATE_MAGIC1 and the whole size (linux/arch/x86/include/uapi/asm/sigcontext.h).
func inSignalFrame(b []byte, at int) bool {
	const note, most = 464, 4096
	from := max(0, at-most)
	for _, i := range indexes(b[from:min(len(b), at+note+8)], []byte("SXPF")) {
		start := from + i - note
		if len(b) < from+i+8 {
			continue
		}
		size := int(binary.LittleEndian.Uint32(b[from+i+4:]))
		if start <= at && at < start+size && size <= most {
			return true
		}
	}
	return false
}

// resident calls f with each run of pages that are in memory or swapped out (proc_pid_pagemap(5), bits 63 and 62). The
// rest was never touched; the race detector reserves terabytes of it.
func resident(pagemap *os.File, from, to int64, f func(from, to int64)) {
	const page, batch = 4096, 1 << 16
	run := int64(-1)
	entries := make([]byte, 8*batch)
	for at := from; at < to; at += page * batch {
		n, _ := pagemap.ReadAt(entries[:8*min(batch, (to-at)/page)], at/page*8)
		for i := range int64(n / 8) {
			present := binary.LittleEndian.Uint64(entries[8*i:])>>62 != 0
			switch here := at + i*page; {
			case present && run < 0:
				run = here
			case !present && run >= 0:
				f(run, here)
				run = -1
			}
		}
		if n == 0 || allZero(entries[:n]) && to-at > 1<<36 {
			at += 1<<30 - page*batch // a desert
		}
	}
	if run >= 0 {
		f(run, to)
	}
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func last(f []string) string { return f[len(f)-1] }

// kindOf names a kind of memory.
func kindOf(from int64, f []string) string {
	switch {
	case from>>32 == 0xc0:
		return "heap"
	case strings.HasPrefix(last(f), "["):
		return last(f)
	case len(f) > 5:
		return "file"
	}
	return "mapping"
}
