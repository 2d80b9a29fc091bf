//go:build dev

package enclaved

import (
	"fmt"
	"os"

	"redoubt/enclave/internal/nsm"
	"redoubt/wire/kit/attest"
)

// OpenModule opens the security module that the file names: the machine's, or one in software.
func OpenModule(cfg *Config) (Module, error) {
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
