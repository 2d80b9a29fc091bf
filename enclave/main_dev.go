//go:build dev

package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire/kit/attest"
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

// openModule opens the security module that the file names: the machine's, or one in software.
func openModule(cfg *config.Config) (nsm.Module, error) {
	soft := cfg.SoftNSM
	if soft == nil {
		return nsm.Open(), nil
	}
	cert, err := os.ReadFile(soft.RootCert)
	if err != nil {
		return nil, fmt.Errorf("soft_nsm.root_cert: %w", err)
	}
	key, err := os.ReadFile(soft.RootKey)
	if err != nil {
		return nil, fmt.Errorf("soft_nsm.root_key: %w", err)
	}
	defer clear(key)
	pcrs := make(attest.PCRs)
	for i, text := range soft.PCRs {
		if pcrs[i], err = attest.ParseMeasurement(text); err != nil {
			return nil, fmt.Errorf("soft_nsm.pcrs: %w", err)
		}
	}
	return nsm.NewSoft(nsm.SoftConfig{RootCertPEM: cert, RootKeyPEM: key, PCRs: pcrs})
}
