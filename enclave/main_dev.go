//go:build dev

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire/attest"
)

// configPath reads the one flag of a development build.
func configPath(args []string) (string, error) {
	f := flag.NewFlagSet("enclave", flag.ContinueOnError)
	path := f.String("config", config.Path, "configuration `FILE` (development builds only)")
	if err := f.Parse(args); err != nil {
		return "", err
	}
	if f.NArg() > 0 {
		return "", errors.New("unexpected argument")
	}
	return *path, nil
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
