// Command api is the vault's REST API and its operator's tool. See api --help.
package main

import (
	"fmt"
	"os"

	"redoubt/api/apid"
	"redoubt/wire/kit/secret"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() {
	if err := secret.HardenProcess(); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
	os.Exit(apid.Main(os.Args[1:], version, os.Stdin, os.Stdout, os.Stderr))
}
