// Command local is the local stack: a development tool that runs the whole of Redoubt on one machine, on loopback.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/program"
)

type cli struct {
	Run  runCommand  `cmd:"" help:"Run the stack on loopback until Ctrl-C, and print curl lines to try."`
	Demo demoCommand `cmd:"" help:"Bring the stack up on free ports, seal a record, have it opened, and end."`
	KMS  kmsCommand  `cmd:"" name:"kms" help:"Run the KMS stand-in alone."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// version is set by the linker: -X main.version=.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return program.Fail(os.Stderr, "local", err)
	}
	command, status := cmdline.Parse(parser, args)
	if command == nil {
		return status
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(); err != nil {
		return program.Fail(os.Stderr, "local", err)
	}
	return program.OK
}

func newParser(c *cli) (*kong.Kong, error) {
	return cmdline.New("local", version, c, os.Stdout, os.Stderr,
		kong.Description("Development tools: the local stack and its KMS stand-in. Not for production."),
		vars)
}
