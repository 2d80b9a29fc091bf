// Command eif builds, describes and verifies AWS Nitro enclave images of Redoubt.
//
//	eif build --kernel bzImage --init enclave --config enclave.yaml --output enclave.eif
//	eif describe enclave.eif
//	eif verify enclave.eif --pcrs pcrs.json
package main

import (
	"os"

	"github.com/alecthomas/kong"

	"redoubt/deploy/eif/internal/command"
	"redoubt/wire/cmdline"
	"redoubt/wire/program"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var cli command.CLI
	k, err := cmdline.New("eif", version, &cli, os.Stdout, os.Stderr, kong.Vars(command.Vars()),
		kong.Description("Build, describe and verify enclave images (EIF). The same inputs give the same bytes."))
	if err != nil {
		return program.Fail(os.Stderr, "eif", err)
	}
	kc, status := cmdline.Parse(k, args)
	if kc == nil {
		return status
	}
	if err := kc.Run(command.Output{Writer: os.Stdout}); err != nil {
		return program.Fail(os.Stderr, "eif", err)
	}
	return program.OK
}
