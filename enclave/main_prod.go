//go:build !dev

package main

import (
	"errors"
	"fmt"
	"os"

	"redoubt/enclave/internal/config"
	"redoubt/wire/kit/program"
)

const help = `Usage: enclave

Opens the fields of a vault's records inside a Nitro enclave. Its one file is ` + config.Path + `; a production build
takes no flags but these.

Flags:
  --help       Show this and exit.
  --version    Print the version and exit.
`

// configPath is fixed: no input of a production enclave changes what file it reads. If ok is false, the program has
// to end with status.
func configPath(args []string) (path string, status int, ok bool) {
	switch {
	case len(args) == 0:
		return config.Path, program.OK, true
	case len(args) == 1 && args[0] == "--version":
		fmt.Fprintln(os.Stdout, program.Version("enclave", build()))
		return "", program.OK, false
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Fprint(os.Stdout, help)
		return "", program.OK, false
	}
	return "", program.Misused(os.Stderr, "enclave", errors.New("a production build takes no arguments")), false
}
