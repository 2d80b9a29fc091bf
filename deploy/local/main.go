// Command local is the local stack: a development tool that runs the whole of Redoubt on one machine, on loopback.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Run  runCommand  `cmd:"" help:"Run the stack on loopback until Ctrl-C, and print curl lines to try."`
	Demo demoCommand `cmd:"" help:"Bring the stack up on free ports, seal a record, have it opened, and end."`
	KMS  kmsCommand  `cmd:"" name:"kms" help:"Run the KMS stand-in alone."`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "local: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run()
}

func newParser(c *cli) (*kong.Kong, error) {
	return kong.New(c, kong.Name("local"), kong.UsageOnError(),
		kong.Description("Development tools: the local stack and its KMS stand-in. Not for production."),
		vars)
}

// newLogger writes to stderr, as JSON or as text.
func newLogger(json bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
