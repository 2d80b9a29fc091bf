// Command bench measures Redoubt: its wire, its cryptography and its tiers under load. See --help and README.md.
package main

import (
	"os"

	"redoubt/bench/internal/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr))
}
