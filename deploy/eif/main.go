// Command eif builds, describes, verifies and tries AWS Nitro enclave images of Redoubt.
//
//	eif build --blobs /usr/share/nitro_enclaves/blobs --init enclave --config enclave.yaml --output enclave.eif
//	eif boot enclave.eif
//	eif describe enclave.eif
//	eif verify enclave.eif --pcrs pcrs.json
package main

import (
	"os"

	"github.com/alecthomas/kong"

	"redoubt/deploy/eif/internal/command"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/program"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var cli command.CLI
	k, err := cmdline.New("eif", version, &cli, os.Stdout, os.Stderr, kong.Vars(command.Vars()),
		kong.Description("Build, describe, verify and try enclave images (EIF). The same inputs give the same bytes."))
	if err != nil {
		return program.Fail(os.Stderr, "eif", err)
	}
	kc, status := cmdline.Parse(k, args)
	if kc == nil {
		return status
	}
	if err := kc.Run(command.Output{Writer: os.Stdout, Warnings: os.Stderr}); err != nil {
		return program.Fail(os.Stderr, "eif", err)
	}
	return program.OK
}
