// Command enclave runs inside the Nitro enclave: it opens the fields of a vault's records for the parents that
// connect to it. It takes no flag but --help and --version, and nothing from its environment; see package config for
// its one file.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"redoubt/enclave/enclaved"
	"redoubt/enclave/internal/pid1"
	"redoubt/wire/kit/program"
)

// version names a release; the linker sets it.
var version string

func main() {
	args := os.Args[1:]
	if pid1.Active() {
		args = nil // the kernel passes the parameters that it does not know to its first process
	}
	path, status, ok := configPath(args)
	if !ok {
		os.Exit(status)
	}
	log := program.NewLogger(os.Stderr, slog.LevelInfo)
	if err := run(path, log); err != nil {
		log.Error("ended", slog.String("cause", err.Error()))
		os.Exit(program.Failed)
	}
}

func run(path string, log *slog.Logger) error {
	if pid1.Active() {
		if err := pid1.Prepare(); err != nil {
			return err
		}
	}
	if err := enclaved.Harden(); err != nil {
		return err
	}
	cfg, err := enclaved.Load(path)
	if err != nil {
		return err
	}
	enclaved.Tune(cfg)
	module, err := enclaved.OpenModule(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = module.Close() }()
	boot := func() error { return nil }
	if pid1.Active() {
		boot = func() error {
			return pid1.Boot(context.Background(), module, cfg.Machine.Heartbeat, log)
		}
	}
	return start(boot, func() error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		return enclaved.Run(ctx, cfg, enclaved.Environment{Module: module, Build: build(), Console: os.Stderr})
	})
}

// start serves once boot has succeeded. serve makes the RSA key and all other keys, so they have the random numbers
// that boot seeds.
func start(boot, serve func() error) error {
	if err := boot(); err != nil {
		return err
	}
	return serve()
}

// build is the release, or the commit from which the binary was built.
func build() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
