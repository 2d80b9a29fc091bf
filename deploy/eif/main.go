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
)

func main() {
	var cli command.CLI
	k := kong.Parse(&cli, kong.Name("eif"), kong.UsageOnError(), kong.Vars(command.Vars()),
		kong.Description("Build, describe and verify enclave images (EIF). The same inputs give the same bytes."))
	k.FatalIfErrorf(k.Run(command.Output{Writer: os.Stdout}))
}
