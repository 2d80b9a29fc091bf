package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/program"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make a key and print it; it is not shown again."`
	List   keyListCmd   `cmd:"" help:"List keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Remove a key; servers refuse it within a second."`
}

type keyFileFlag struct {
	Keys string `help:"The file of API keys." env:"API_KEYS" type:"path" default:"keys.json" placeholder:"FILE"`
}

func (f *keyFileFlag) open() (*auth.KeyFile, error) { return auth.OpenKeyFile(f.Keys, time.Now) }

// maxExpires is a hundred years, the limit for a vault too.
const maxExpires = vault.MaxTTL

type keyCreateCmd struct {
	Name       string        `arg:"" help:"Name of the key, as audit logs show it."`
	Operations []string      `help:"${h_operations}" required:"" placeholder:"OPERATION"`
	Fields     []string      `help:"Fields to which these operations apply, or *." default:"*" placeholder:"FIELD"`
	Rate       float64       `help:"Decrypts a second, 0.000001 to 1000000; 0 for no limit." placeholder:"N"`
	Expires    time.Duration `help:"How long the key lives, 1s to 876000h; for ever by default." placeholder:"TIME"`

	keyFileFlag `embed:""`
}

// Run makes a key.
func (cmd *keyCreateCmd) Run(e *env) error {
	file, err := cmd.open()
	if err != nil {
		return err
	}
	var rate *auth.Rate
	if cmd.Rate != 0 { // NaN too
		if err := program.Range("--rate", cmd.Rate, auth.MinRate, auth.MaxRate); err != nil {
			return err
		}
		rate = &auth.Rate{PerSecond: cmd.Rate}
	}
	var expires time.Time
	if cmd.Expires != 0 {
		if err := program.Range("--expires", cmd.Expires, time.Second, maxExpires); err != nil {
			return err
		}
		expires = time.Now().Add(cmd.Expires)
	}
	token, err := file.Create(cmd.Name, auth.Grant{Operations: cmd.Operations, Fields: cmd.Fields}, rate, expires)
	if errors.Is(err, auth.ErrKeyExists) {
		return hint(err, "revoke it first: api key revoke "+cmd.Name)
	}
	if err != nil {
		return err
	}
	return e.print(token, map[string]string{"name": cmd.Name, "key": token})
}

type keyListCmd struct {
	keyFileFlag `embed:""`
}

// Run lists keys.
func (cmd *keyListCmd) Run(e *env) error {
	file, err := cmd.open()
	if err != nil {
		return err
	}
	keys, err := file.List()
	if err != nil {
		return err
	}
	type line struct {
		Name       string   `json:"name"`
		Operations []string `json:"operations"`
		Fields     []string `json:"fields"`
		Created    string   `json:"created"`
		Expires    string   `json:"expires,omitempty"`
	}
	lines := make([]line, len(keys))
	text := make([]string, len(keys))
	for i, k := range keys {
		lines[i] = line{k.Name, k.Grant.Operations, k.Grant.Fields, stamp(k.Created), stamp(k.Expires)}
		text[i] = fmt.Sprintf("%-20s %s on %s, made %s", k.Name, strings.Join(k.Grant.Operations, ","),
			strings.Join(k.Grant.Fields, ","), stamp(k.Created))
		if k.Expires != 0 {
			text[i] += ", ends " + stamp(k.Expires)
		}
	}
	if len(text) == 0 {
		text = []string{"no keys"}
	}
	return e.print(strings.Join(text, "\n"), map[string]any{"keys": lines})
}

func stamp(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

type keyRevokeCmd struct {
	Name string `arg:"" help:"Name of the key."`

	keyFileFlag `embed:""`
}

// Run removes a key.
func (cmd *keyRevokeCmd) Run(e *env) error {
	file, err := cmd.open()
	if err != nil {
		return err
	}
	if err := file.Revoke(cmd.Name); err != nil {
		return hint(err, "see them with: api key list")
	}
	return e.print("revoked", map[string]string{"revoked": cmd.Name})
}
