// Command host runs simulations: it builds the guest for wasip1, gives it its clock and its random numbers, and so
// makes a run repeat exactly. See package simulate for what a run is.
//
//	go run ./deploy/storm/simulate/host run --seeds 100
//	go run ./deploy/storm/simulate/host replay PLAN.json
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// common are the flags of every command.
type common struct {
	Module string `help:"The guest, already built; without it, it is built." type:"path"`
	Dir    string `help:"The module's folder, from which the guest is built." default:"." type:"path"`
}

type commands struct {
	Run    runCmd    `cmd:"" help:"Run seeds, until one has a finding."`
	Replay replayCmd `cmd:"" help:"Run one plan again, with its log."`
}

func main() {
	var c commands
	k := kong.Parse(&c, kong.Description("Runs simulations of the whole path."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// machine builds and compiles the guest.
func (c *common) machine(ctx context.Context) (*machine, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "redoubt", "simulate")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	file := c.Module
	if file == "" {
		dir, err := os.MkdirTemp("", "redoubt-guest-")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		file = filepath.Join(dir, "guest.wasm")
		if err := buildGuest(ctx, c.Dir, file); err != nil {
			return nil, err
		}
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	m, err := newMachine(ctx, code, cache)
	if err == nil {
		fmt.Printf("guest of %d MB compiled in %.1f s\n", len(code)>>20, time.Since(began).Seconds())
	}
	return m, err
}

// buildGuest builds the guest from the module in dir.
func buildGuest(ctx context.Context, dir, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "dev", "-trimpath", "-buildvcs=false", "-o", file,
		"./deploy/storm/simulate/guest")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest: %w\n%s", err, out)
	}
	fmt.Printf("guest built in %.1f s\n", time.Since(began).Seconds())
	return nil
}

// version names what a finding belongs to: a trace repeats for one build alone.
func version(dir string) string {
	cmd := exec.Command("git", "describe", "--always", "--dirty")
	cmd.Dir = dir
	commit, err := cmd.Output()
	if err != nil {
		commit = []byte("unknown\n")
	}
	return fmt.Sprintf("commit %s, %s", commit[:len(commit)-1], runtime.Version())
}

// spent is the CPU time of the process. On a machine that others use it says more of a seed than the time that passes.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var errFindings = errors.New("there are findings")

type replayCmd struct {
	common

	Plan string `arg:"" help:"The plan's file, or - for standard input."`
	Log  bool   `help:"Print what the parts logged."`
}

// Run makes one run.
func (cmd *replayCmd) Run(ctx context.Context) error {
	if cmd.Plan == "-" {
		cmd.Plan = os.Stdin.Name()
	}
	data, err := os.ReadFile(cmd.Plan)
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	m, err := cmd.machine(ctx)
	if err != nil {
		return err
	}
	o, err := m.run(ctx, startOf(p), cmd.Log)
	if err != nil {
		return err
	}
	_, _ = os.Stderr.Write(o.log)
	fmt.Printf("trace %s, %d ms of its own time\n", o.Trace, o.TookMS)
	for _, f := range o.Findings {
		fmt.Printf("%6d ms %s: %s\n", f.AtMS, f.Invariant, f.Text)
	}
	if len(o.Findings) > 0 {
		return errFindings
	}
	return nil
}
