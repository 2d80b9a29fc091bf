// Command parent serves detokenization over HTTP from the attested enclaves of its host. See --help.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"redoubt/parent/internal/app"
	"redoubt/parent/internal/config"
	"redoubt/wire/kit/program"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	c, err := config.Parse(args, version, os.Stdout)
	var exit config.ExitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	if err != nil {
		return program.Misused(os.Stderr, "parent", err)
	}
	log := program.NewLogger(os.Stderr, c.Operate.Level())
	if err := app.Harden(); err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return program.Failed
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a, err := app.New(c, version, log)
	if err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return program.Failed
	}
	if err := a.Run(ctx); err != nil {
		log.Error("ended", slog.String("cause", err.Error()))
		return program.Failed
	}
	return program.OK
}
