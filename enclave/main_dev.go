//go:build dev

package main

import (
	"os"

	"github.com/alecthomas/kong"

	"redoubt/enclave/internal/config"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/program"
)

// flags are the flags of a development build.
type flags struct {
	Config  string           `default:"${config}" type:"path" placeholder:"FILE" help:"Configuration file."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// configPath reads the flags of a development build. If ok is false, the program has to end with status.
func configPath(args []string) (path string, status int, ok bool) {
	var f flags
	k, err := cmdline.New("enclave", build(), &f, os.Stdout, os.Stderr, kong.Vars{"config": config.Path},
		kong.Description("Opens the fields of a vault's records. A development build: never for real data."))
	if err != nil {
		return "", program.Fail(os.Stderr, "enclave", err), false
	}
	kc, status := cmdline.Parse(k, args)
	if kc == nil {
		return "", status, false
	}
	return f.Config, status, true
}
