// Command parent serves detokenization over HTTP from the attested enclaves of its host. See --help.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"redoubt/parent/parentd"
	"redoubt/wire/kit/program"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	c, err := parentd.Parse(args, version, os.Stdout)
	var exit parentd.ExitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	if err != nil {
		return program.Misused(os.Stderr, "parent", err)
	}
	log := program.NewLogger(os.Stderr, c.Operate.Level())
	if err := parentd.Harden(); err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return program.Failed
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p, err := parentd.Start(ctx, c, parentd.Environment{Version: version, Log: log})
	if err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return program.Failed
	}
	if err := p.Wait(); err != nil {
		log.Error("ended", slog.String("cause", err.Error()))
		return program.Failed
	}
	return program.OK
}
