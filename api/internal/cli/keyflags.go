package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

// keyFlags say where the keys of vaults come from.
type keyFlags struct {
	VaultKeys       string        `help:"${h_vault_keys}" env:"API_VAULT_KEYS" default:"kms" enum:"${vault_keys}"`
	Domain          string        `help:"${h_domain}" env:"API_DOMAIN" placeholder:"ID"`
	WriteGeneration uint16        `help:"${h_write_generation}" env:"API_WRITE_GENERATION" placeholder:"N"`
	DomainSuite     string        `help:"${h_domain_suite}" env:"API_DOMAIN_SUITE" placeholder:"SUITE"`
	MovedBefore     string        `help:"${h_moved_before}" env:"API_MOVED_BEFORE" placeholder:"TIME"`
	KeepKeys        time.Duration `help:"${h_keep_keys}" env:"API_KEEP_KEYS" default:"2160h"`
	EraseWindow     time.Duration `help:"${h_erase_window}" env:"API_ERASE_WINDOW" default:"840h"`

	// inline says that the host stops the process between requests.
	inline bool
}

// maxKeep bounds the times for which keys and backups of them are kept.
const maxKeep = 10 * 365 * 24 * time.Hour

// check checks that the flags fit together. kept says whether the store keeps domains.
func (f *keyFlags) check(kept bool) error {
	if f.VaultKeys != string(vault.KeysKMS) && !kept {
		return hint(program.Mistake("--vault-keys "+f.VaultKeys+" needs tables for keys and domains"),
			"set --key-table and --domain-table")
	}
	if f.VaultKeys != string(vault.KeysKMS) && f.Domain == "" {
		return hint(program.Mistake("--vault-keys "+f.VaultKeys+" needs --domain"),
			"name the domain of new vaults; api domain create makes one")
	}
	if f.Domain != "" && !domain.ValidID(f.Domain) {
		return program.Mistake("--domain is not an id: up to 63 of a-z, 0-9, dot, underscore and dash")
	}
	if f.DomainSuite != "" && !slices.Contains(sealed.DomainSuiteNames(), f.DomainSuite) {
		return program.Mistake("--domain-suite is none of P-256, P-384, P-521, X-Wing")
	}
	return errors.Join(
		program.Range("--keep-keys", f.KeepKeys, time.Hour, maxKeep),
		program.Range("--erase-window", f.EraseWindow, 0, maxKeep),
	)
}

// keyConfig is what the vault is told about keys. s is the store, and embedded says whether it is a file.
func (f *keyFlags) keyConfig(s store.Store, embedded bool, keys domains.Keys, e vault.Enclave) (
	c vault.KeyConfig, err error,
) {
	c = vault.KeyConfig{
		Mode: vault.KeyMode(f.VaultKeys), Domain: f.Domain, WriteGeneration: f.WriteGeneration, KeySuite: f.DomainSuite,
		KeepEpochs: f.KeepKeys, Domains: domains.New(s, keys), Enclave: e, Inline: f.inline,
	}
	if !embedded {
		c.EraseWindow = f.EraseWindow
	}
	if c.MovedBefore, err = parseTime("--moved-before", f.MovedBefore); err != nil {
		return c, err
	}
	if c.MovedBefore.After(time.Now()) {
		return c, hint(fmt.Errorf("--moved-before %s: %w", f.MovedBefore, vault.ErrCutover),
			"name the time from which on new vaults were under a domain")
	}
	return c, nil
}
