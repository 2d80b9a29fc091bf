// Command bench measures Redoubt: its wire, its cryptography and its tiers under load. See --help and README.md.
package main

import (
	"os"

	"redoubt/bench/internal/cli"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() {
	os.Exit(cli.Run(os.Args[1:], version, os.Stdout, os.Stderr))
}
