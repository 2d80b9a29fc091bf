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
		kong.Vars{"state": ".local"}, helps)
}

// helps are the texts of flags that would make their lines too long, by the name that the tag refers to.
var helps = cmdline.Texts{
	"help_listen":    "Plain listener, protocol and admin routes: loopback host:port or unix:///path.",
	"help_tlslisten": "TLS listener, protocol alone. Empty: none.",
	"help_state":     "Folder of keys and CA, made when missing.",
	"help_root": "PEM file of a root certificate that attestation documents may chain to. Repeatable; " +
		"without one every attested call is refused.",
	"help_allow_pcr": "Measurement that Decrypt demands, as INDEX=HEX. Repeatable: every index must match one " +
		"of its values. Replaces the key's policy.",
	"help_policy": "Key policy (JSON) that replaces the key's.",
	"help_unsigned": "DANGER: take attestation documents without a signature, as QEMU makes them. " +
		"They prove nothing.",
	"help_bin":        "Folder with the programs enclave (tag dev), parent and api. Default: they are built.",
	"help_state2":     "Folder of keys, configuration and examples, made when missing.",
	"help_apimetrics": "API's metrics address.",
	"help_kmstls":     "KMS stand-in's TLS address.",
	"help_probe":      "How often the enclave opens a probe key, 0s to 1h; 0s: there is none.",
}
