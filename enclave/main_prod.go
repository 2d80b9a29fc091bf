//go:build !dev

package main

import (
	"errors"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/nsm"
)

// configPath is fixed: a production enclave takes no argument.
func configPath(args []string) (string, error) {
	if len(args) > 0 {
		return "", errors.New("a production build takes no arguments")
	}
	return config.Path, nil
}

// openModule opens the machine's security module; there is no other.
func openModule(*config.Config) (nsm.Module, error) { return nsm.Open(), nil }
