//go:build !dev

package enclaved

import "redoubt/enclave/internal/nsm"

// OpenModule opens the machine's security module; there is no other.
func OpenModule(*Config) (Module, error) { return nsm.Open(), nil }
