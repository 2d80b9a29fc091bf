// Command parent serves detokenization over HTTP from the attested enclaves of its host. See --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"redoubt/parent/internal/app"
	"redoubt/parent/internal/config"
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
		fmt.Fprintln(os.Stderr, "parent:", err)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.Operate.Level()}))
	if err := app.Harden(); err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a, err := app.New(c, version, log)
	if err != nil {
		log.Error("cannot start", slog.String("cause", err.Error()))
		return 1
	}
	if err := a.Run(ctx); err != nil {
		log.Error("ended", slog.String("cause", err.Error()))
		return 1
	}
	return 0
}
