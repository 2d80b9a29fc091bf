package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/program"
)

// localDomain is the domain of the stack's vaults.
const localDomain = "local"

// binFlags say where the programs come from.
type binFlags struct {
	Bin string `help:"${help_bin}" type:"existingdir" placeholder:"DIR" env:"LOCAL_BIN"`
}

// runCommand runs the stack until it is told to end.
type runCommand struct {
	binFlags

	State string `help:"${help_state2}" default:"${state}" type:"path" placeholder:"DIR" env:"LOCAL_STATE"`
	Quiet bool   `help:"Do not show the processes' logs."`

	API           string `name:"api" help:"API's address." default:"127.0.0.1:8000" env:"LOCAL_API"`
	APIMetrics    string `name:"api-metrics" help:"${help_apimetrics}" default:"127.0.0.1:9181" env:"LOCAL_API_METRICS"`
	Parent        string `help:"Parent's address." default:"127.0.0.1:8080" env:"LOCAL_PARENT"`
	ParentMetrics string `help:"Parent's metrics address." default:"127.0.0.1:9180" env:"LOCAL_PARENT_METRICS"`
	KMS           string `name:"kms" help:"KMS stand-in's address." default:"127.0.0.1:9300" env:"LOCAL_KMS"`
	KMSTLS        string `name:"kms-tls" help:"${help_kmstls}" default:"127.0.0.1:9301" env:"LOCAL_KMS_TLS"`
	FreePorts     bool   `help:"Use free ports instead of all these."`

	ProbeEvery time.Duration `help:"${help_probe}" default:"1m"`
}

// Run serves until ctx ends, which is not an error.
func (r *runCommand) Run(ctx context.Context) error {
	if err := r.serve(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (r *runCommand) serve(ctx context.Context) error {
	logs := io.Writer(&lineWriter{w: os.Stderr})
	if r.Quiet {
		logs = io.Discard
	}
	if !r.FreePorts {
		if err := r.free(ctx); err != nil {
			return err
		}
	}
	bin, err := r.programs(ctx, r.State)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("own program: %w", err)
	}
	addresses := testkit.Addresses{
		API: r.API, APIMetrics: r.APIMetrics, Parent: r.Parent, ParentMetrics: r.ParentMetrics, KMS: r.KMS, KMSTLS: r.KMSTLS,
	}
	s, err := testkit.Start(ctx, testkit.Options{
		Bin: bin, Local: self, State: r.State, Addresses: addresses, FreePorts: r.FreePorts, Log: logs,
		ProbeEvery: r.ProbeEvery, Domain: localDomain,
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := show(ctx, os.Stdout, s, filepath.Join(r.State, "examples")); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "\nServing until Ctrl-C.")
	return s.Supervise(ctx, program.NewLogger(os.Stderr, slog.LevelInfo))
}

// demoCommand brings the stack up, shows one detokenization, and ends.
type demoCommand struct {
	binFlags

	Logs    bool          `help:"Show the processes' logs."`
	Timeout time.Duration `help:"Longest time for the whole demonstration, more than 0." default:"2m"`
}

// Run succeeds if the returned values are those that were sealed.
func (d *demoCommand) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	state, err := os.MkdirTemp("", "redoubt-demo-")
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	logs := io.Discard
	if d.Logs {
		logs = &lineWriter{w: os.Stderr}
	}
	bin, err := d.programs(ctx, state)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("own program: %w", err)
	}
	s, err := testkit.Start(ctx, testkit.Options{
		Bin: bin, Local: self, State: state, FreePorts: true, Log: logs, Domain: localDomain,
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := show(ctx, os.Stdout, s, ""); err != nil {
		return fmt.Errorf("%w%s", err, s.LastLines())
	}
	fmt.Fprintln(os.Stdout, "\nThe answer is what was sealed. Stopping.")
	return nil
}

// programs returns the folder of the programs; without --bin they are built.
func (b *binFlags) programs(ctx context.Context, state string) (string, error) {
	if b.Bin != "" {
		return filepath.Abs(b.Bin)
	}
	return build(ctx, os.Stderr, filepath.Join(state, "bin"))
}

// lineWriter lets several processes write lines to one place.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// free tries every address before anything starts. Another stack that listens on one of them would answer for ours.
func (r *runCommand) free(ctx context.Context) error {
	var listener net.ListenConfig
	var taken []error
	for _, a := range []struct{ flag, address string }{
		{"--api", r.API},
		{"--api-metrics", r.APIMetrics},
		{"--parent", r.Parent},
		{"--parent-metrics", r.ParentMetrics},
		{"--kms", r.KMS},
		{"--kms-tls", r.KMSTLS},
	} {
		ln, err := listener.Listen(ctx, "tcp", a.address)
		if err != nil {
			taken = append(taken, fmt.Errorf("%s %s: %w", a.flag, a.address, err))
			continue
		}
		defer ln.Close() // not before all are tried: two flags may name one address
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("cannot listen; give other addresses, or --free-ports for any, or stop the other stack:\n%w",
		errors.Join(taken...))
}
