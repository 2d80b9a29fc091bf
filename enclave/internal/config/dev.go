//go:build dev

package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Dev holds the keys of a dev build.
type Dev struct {
	// SoftNSM replaces /dev/nsm by a signer under a root of its own, in a build with the tag dev; a production build
	// refuses the key as unknown. With it the process runs on a machine that is not an enclave. So
	// memory.allow_unlocked is then true and the machine's lists are empty, unless the file says otherwise.
	SoftNSM *SoftNSM `yaml:"soft_nsm"`
}

// SoftNSM describes the software NSM of a local stack.
type SoftNSM struct {
	// RootCert is the PEM file of the root certificate, an absolute path.
	RootCert string `yaml:"root_cert"`
	// RootKey is the PEM file of its private key, an absolute path.
	RootKey string `yaml:"root_key"`

	// PCRs are the measurements to claim: 48 bytes in hex by index (0 to 15).
	PCRs map[int]string `yaml:"pcrs"`
}

// defaults removes from the defaults in c what cannot be expected of a development machine. It returns true if it
// did: then the file must be read again over c.
func (d Dev) defaults(c *Config) bool {
	if d.SoftNSM == nil {
		return false
	}
	c.Memory.AllowUnlocked = true
	c.Machine = Machine{}
	return true
}

func (d Dev) valid() error {
	s := d.SoftNSM
	if s == nil {
		return nil
	}
	if !strings.HasPrefix(s.RootCert, "/") || !strings.HasPrefix(s.RootKey, "/") {
		return errors.New("soft_nsm: root_cert and root_key must be absolute paths")
	}
	for i, v := range s.PCRs {
		if b, err := hex.DecodeString(v); i < 0 || i > 15 || err != nil || len(b) != 48 {
			return fmt.Errorf("soft_nsm.pcrs: entry %d must be 48 bytes in hex at an index from 0 to 15", i)
		}
	}
	return nil
}
