package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redoubt/deploy/eif/internal/image"
	"redoubt/wire/kit/program"
)

// Boot starts an image on QEMU's machine for Nitro enclaves, whose security module measures it as a Nitro host would.
type Boot struct {
	File    string        `arg:"" type:"existingfile" help:"The image."`
	QEMU    string        `name:"qemu" placeholder:"PATH" help:"${help_qemu}"`
	Vsock   string        `placeholder:"PATH" help:"vhost-device-vsock (default: ${testbed}/guest's, or that of PATH)."`
	Memory  uint64        `default:"1024" help:"The enclave's memory, 256 to 65536 MiB."`
	Timeout time.Duration `default:"5m" help:"How long the enclave may take until it serves, 1s to 1h."`
	ACPI    bool          `name:"acpi" help:"Describe devices by ACPI, for a kernel without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES."`
	Console bool          `help:"Print the enclave's console while it runs."`
}

// Booted is what boot prints.
type Booted struct {
	ServesAfter  float64            `json:"ServesAfterSeconds"` // emulated: many times slower than an instance
	Measurements image.Measurements `json:"Measurements"`
}

// Errors of boot.
var (
	ErrNoTool    = errors.New("a program that boot needs is missing")
	ErrNotServed = errors.New("the enclave did not get as far as serving")
)

// serving is the line of the enclave's log after which it accepts connections. By then modules, security module,
// entropy, privileges and self-test are done.
const serving = `"msg":"serving"`

// emulation are parameters that a kernel under emulation needs beside the image's own. QEMU measures the image without
// them.
const emulation = "panic=-1 no_timer_check lpj=4000000 tsc_early_khz=1000000"

// testbed is the folder that testbed/*.sh fill.
func testbed() string {
	if dir := os.Getenv("TESTBED"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "testbed"
	}
	return filepath.Join(cache, "redoubt", "testbed")
}

// Run starts the image, waits until the enclave serves, and ends it.
func (b *Boot) Run(out Output) error {
	im, m, err := load(b.File)
	if err != nil {
		return err
	}
	if im.Arch != image.AMD64 {
		return fmt.Errorf("the image is for %s: QEMU has the machine for %s alone", im.Arch, image.AMD64)
	}
	if err := errors.Join(program.Range("--memory", b.Memory, 256, 65536),
		program.Range("--timeout", b.Timeout, time.Second, time.Hour)); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	after, err := b.boot(ctx, out)
	if err != nil {
		return err
	}
	return out.json(Booted{ServesAfter: after.Seconds(), Measurements: m})
}

func (b *Boot) boot(ctx context.Context, out Output) (time.Duration, error) {
	qemu, err := find(b.QEMU, filepath.Join(testbed(), "qemu-nsm"), "qemu-system-x86_64")
	if err != nil {
		return 0, err
	}
	vsock, err := find(b.Vsock, filepath.Join(testbed(), "guest", "vhost-device-vsock"), "vhost-device-vsock")
	if err != nil {
		return 0, err
	}
	if err := hasMachine(ctx, qemu); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "eif") // short: a unix socket's path has at most 107 bytes
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	socket := filepath.Join(dir, "d")
	device := exec.CommandContext(ctx, vsock, "--guest-cid", "16", "--socket", socket, "--uds-path",
		filepath.Join(dir, "v"))
	if err := device.Start(); err != nil {
		cancel()
		return 0, fmt.Errorf("start %s: %w", vsock, err)
	}
	ended := make(chan struct{})
	go func() { _ = device.Wait(); close(ended) }()
	defer func() { cancel(); <-ended }()
	if err := appears(ctx, socket, ended); err != nil {
		return 0, fmt.Errorf("%s made no socket: %w", vsock, err)
	}
	return b.watch(ctx, qemu, b.args(socket), out)
}

func (b *Boot) args(socket string) []string {
	machine := "nitro-enclave,vsock=vs,id=i-0abc-enc0123"
	if b.ACPI {
		machine += ",acpi=on"
	}
	return []string{
		"-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-accel", "tcg,thread=multi", "-cpu", "max", "-nodefaults",
		"-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-M", machine,
		"-m", strconv.FormatUint(b.Memory, 10), "-chardev", "socket,id=vs,path=" + socket, "-kernel", b.File,
		"-append", emulation,
	}
}

// watch runs the guest until its console says that the enclave serves, and returns after how long. The time begins
// here, so the preparation of the machine that tries the image does not count.
func (b *Boot) watch(ctx context.Context, qemu string, args []string, out Output) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	guest := exec.CommandContext(ctx, qemu, args...)
	console, err := guest.StdoutPipe()
	if err != nil {
		return 0, err
	}
	guest.Stderr = guest.Stdout
	start := time.Now()
	if err := guest.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", qemu, err)
	}
	defer func() { _ = guest.Process.Kill(); _ = guest.Wait() }()
	var last tail
	for lines := bufio.NewReader(console); ; {
		line, err := lines.ReadString('\n')
		if text := strings.TrimRight(line, "\r\n"); text != "" {
			last.add(text)
			if b.Console {
				fmt.Fprintln(out.Warnings, text)
			}
			if strings.Contains(text, serving) {
				return time.Since(start), nil
			}
		}
		if err != nil {
			return 0, notServed(ctx, err, &last)
		}
	}
}

func notServed(ctx context.Context, end error, last *tail) error {
	why := "the machine ended"
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		why = "the time was up"
	case ctx.Err() != nil:
		why = "it was interrupted"
	case !errors.Is(end, io.EOF):
		why = end.Error()
	}
	return fmt.Errorf("%w: %s; the console's last lines:\n%s", ErrNotServed, why, last)
}

// find is the given program, or the first of the others that exists.
func find(given string, others ...string) (string, error) {
	if given != "" {
		others = []string{given}
	}
	for _, name := range others {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s (make test-enclave builds QEMU and fetches vhost-device-vsock, as root on Debian 12; "+
		"TESTBED names their folder)", ErrNoTool, strings.Join(others, ", or "))
}

// hasMachine checks that QEMU has the machine for Nitro enclaves. Distributions as a rule build QEMU without it.
func hasMachine(ctx context.Context, qemu string) error {
	help, err := exec.CommandContext(ctx, qemu, "-M", "help").Output()
	if err != nil {
		return fmt.Errorf("%s: %w", qemu, err)
	}
	if !strings.Contains(string(help), "nitro-enclave") {
		return fmt.Errorf("%w: %s was built without the nitro-enclave machine, which takes QEMU 9.2 or later with libcbor "+
			"and gnutls (make test-enclave builds one)", ErrNoTool, qemu)
	}
	return nil
}

// errEnded reports that a program ended that was to make a file.
var errEnded = errors.New("it ended")

// appears waits for a file, or for the end of the program that makes it.
func appears(ctx context.Context, file string, ended <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errEnded
		case <-tick.C:
		}
	}
}

// consoleTail is how many lines of the console a failure shows: this many before a panic of the kernel, and as many
// from the panic on.
const consoleTail = 40

// panicked begins the kernel's account of its end. The trace that follows it may be longer than any tail, and varies.
const panicked = "Kernel panic - not syncing"

// tail is the end of a console. The enclave's last words stand before the kernel's panic, and are kept whatever the
// kernel adds.
type tail struct {
	before, after []string
	cut           bool // there were more lines after the panic
}

func (t *tail) add(line string) {
	switch {
	case len(t.after) == 0 && !strings.Contains(line, panicked):
		t.before = append(t.before[max(0, len(t.before)-consoleTail+1):], line)
	case len(t.after) < consoleTail:
		t.after = append(t.after, line)
	default:
		t.cut = true
	}
}

func (t *tail) String() string {
	lines := slices.Concat(t.before, t.after)
	if t.cut {
		lines = append(lines, "(more)")
	}
	return strings.Join(lines, "\n")
}
