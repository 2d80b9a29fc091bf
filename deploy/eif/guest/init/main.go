// Command init is the first process of a throw-away test guest: it prepares the machine, runs every program in /tests
// in the order of their names, prints "GUEST EXIT n" and powers the guest off. n is 0 when every program passed, and
// passed at least one test: a program without any test for guests must not count. It refuses to run anywhere else.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: only as the first process of a test guest")
		os.Exit(2)
	}
	status := 1
	defer func() {
		if p := recover(); p != nil {
			fmt.Println("GUEST panic:", p)
		}
		fmt.Printf("GUEST EXIT %d\n", status)
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}()
	if err := prepare(); err != nil {
		fmt.Println("GUEST prepare:", err)
		return
	}
	status = runAll("/tests", os.Stdout)
}

func prepare() error {
	var errs []error
	for _, m := range [][2]string{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tracefs", "/sys/kernel/tracing"}, {"tmpfs", "/tmp"},
	} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m[1], err))
		}
	}
	mods, _ := filepath.Glob("/modules/*.ko")
	for _, name := range mods { // Glob sorts
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("load %s: %w", name, err))
		}
		errs = append(errs, f.Close())
	}
	errs = append(errs, os.MkdirAll("/etc", 0o755), os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n"), 0o600))
	return errors.Join(append(errs, loopbackUp())...)
}

// loopbackUp brings the loopback interface up; the kernel gives it 127.0.0.1 by itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	if _, err := net.InterfaceByName("lo"); err != nil {
		return err
	}
	return nil
}

// runAll runs the programs of a folder, and returns 0 when there is one and all of them passed.
func runAll(dir string, out io.Writer) int {
	tests, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(tests) == 0 {
		fmt.Fprintln(out, "GUEST no tests")
		return 1
	}
	status := 0
	for _, name := range tests {
		start := time.Now()
		err := run(name, out)
		took := time.Since(start).Round(time.Millisecond)
		fmt.Fprintf(out, "GUEST %s: err=%v after %v\n", filepath.Base(name), err, took)
		if err != nil {
			status = 1
		}
	}
	return status
}

var (
	errNoTest = errors.New("no test passed")
	passed    = regexp.MustCompile(`(?m)^--- PASS: TestGuest`)
)

// run runs the tests for guests of one program.
func run(name string, out io.Writer) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(context.Background(), name, "-test.v", "-test.run=^TestGuest", "-test.timeout=8m")
	cmd.Dir = "/tmp"
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp"}
	cmd.Stdout = io.MultiWriter(out, &said)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return err
	}
	if !passed.Match(said.Bytes()) {
		return errNoTest
	}
	return nil
}
