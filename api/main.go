// Command api is the vault's REST API and its operator's tool. See api --help.
package main

import (
	"os"

	"redoubt/api/internal/cli"
)

// version is set by the linker: -X main.version=.
var version = "dev"

func main() { os.Exit(cli.Main(os.Args[1:], version, os.Stdin, os.Stdout, os.Stderr)) }
