package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/tiers"
	"redoubt/wire/kit/program"
)

type targetsCommand struct {
	Rows     []string      `help:"Groups of rows: wire, crypto, hot (all processes share the CPUs), pinned (cold load; the enclave has a CPU of its own), memory." enum:"wire,crypto,hot,pinned,memory" default:"wire,crypto,hot,pinned,memory"`
	Bin      string        `help:"Folder of the programs of 'make build'. Default: bench's own." type:"path" placeholder:"DIR"`
	Rounds   int           `help:"Turns of what is compared, 1 or more; the median counts." default:"7"`
	Turn     time.Duration `help:"Length of one turn, 1ms or more." default:"300ms"`
	Duration time.Duration `help:"Length of an open loop, more than 0." default:"10s"`
}

// Run measures the targets.
func (c *targetsCommand) Run(ctx context.Context, sink *measure.Sink) error {
	if c.Rounds < 1 || c.Turn < time.Millisecond || c.Duration <= 0 {
		return program.Mistake("--rounds must be at least 1, --turn at least 1ms, --duration more than 0")
	}
	return tiers.Run(ctx, tiers.Options{
		Bin: c.Bin, Rows: c.Rows, Rounds: c.Rounds, Turn: c.Turn, Duration: c.Duration,
	}, sink)
}

type soakCommand struct {
	Bin      string `help:"Folder of the programs of 'make build'. Default: bench's own." type:"path" placeholder:"DIR"`
	Requests int64  `help:"Requests in all, 30 or more; without --for." default:"1000000"`
	InFlight int    `help:"Requests in flight, 1 or more." default:"32"`

	For    time.Duration `help:"Run as long, 30s or more, while faults of every kind roll by."`
	Report string        `help:"With --for: draw the course of the run as a page in this file." type:"path" placeholder:"FILE"`
}

// Run soaks a local stack.
func (c *soakCommand) Run(ctx context.Context, sink *measure.Sink) error {
	if c.InFlight < 1 {
		return program.Mistake("--in-flight must be at least 1")
	}
	if c.For != 0 {
		return c.rolling(ctx, sink)
	}
	if c.Report != "" {
		return program.Mistake("--report draws the course of a run with --for")
	}
	return tiers.Soak(ctx, tiers.SoakOptions{Bin: c.Bin, Requests: c.Requests, InFlight: c.InFlight}, sink)
}

func (c *soakCommand) rolling(ctx context.Context, sink *measure.Sink) error {
	if c.For < 30*time.Second {
		return program.Mistake("--for must be at least 30s")
	}
	o := tiers.RollingOptions{Bin: c.Bin, For: c.For, InFlight: c.InFlight}
	var page bytes.Buffer
	if c.Report != "" {
		o.Report = &page
	}
	err := tiers.Rolling(ctx, o, sink)
	if page.Len() > 0 { // also of a run that failed
		err = errors.Join(err, os.WriteFile(c.Report, page.Bytes(), 0o600))
	}
	return err
}

type metaCommand struct{}

// Run writes one line that says where and when the measurement is made.
func (c *metaCommand) Run(ctx context.Context, sink *measure.Sink) error {
	now := time.Now().UTC()
	l := measure.Value("meta", float64(now.Unix()), "s", 1)
	l.Meta = machine(ctx)
	l.Meta["time"] = now.Format(time.RFC3339)
	sink.Add(l)
	return nil
}

// machine describes the machine, on which a run depends.
func machine(ctx context.Context) map[string]string {
	m := map[string]string{
		"go": runtime.Version(), "arch": runtime.GOARCH, "cpus": strconv.Itoa(runtime.NumCPU()),
		"cpu": firstAfter("/proc/cpuinfo", "model name"), "memory": firstAfter("/proc/meminfo", "MemTotal"),
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m["load"], _, _ = strings.Cut(string(b), " ")
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m["kernel"] = strings.TrimSpace(string(b))
	}
	if b, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		m["commit"] = strings.TrimSpace(string(b))
	}
	return m
}

// firstAfter returns the text after "name :" in a file of the kernel.
func firstAfter(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
