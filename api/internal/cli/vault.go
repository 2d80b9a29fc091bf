package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"redoubt/api/client"
	"redoubt/wire/kit/program"
)

type vaultCmd struct {
	Create  vaultCreateCmd  `cmd:"" help:"Make a vault."`
	Get     vaultGetCmd     `cmd:"" help:"See which fields a vault has."`
	Decrypt vaultDecryptCmd `cmd:"" help:"Open fields of a vault."`
	Erase   vaultEraseCmd   `cmd:"" help:"Remove a vault, and its keys if it is under a domain."`
	Reseal  vaultResealCmd  `cmd:"" help:"Give a vault a new key; without the API's rights, as operator of its host."`
	Erased  vaultErasedCmd  `cmd:"" help:"Check the proof that a vault was erased, and say what it does not cover."`
}

type clientFlags struct {
	URL     string        `name:"url" help:"The API, with its stage if it has one." env:"API_URL" default:"http://127.0.0.1:8000"`
	KeyFile string        `help:"File with the API key or token." env:"API_KEY_FILE" type:"path" placeholder:"FILE"`
	Timeout time.Duration `help:"Limit of the request, 1ms to 1h." default:"30s"`
}

func (f *clientFlags) client() (*client.Client, error) {
	if err := program.Range("--timeout", f.Timeout, time.Millisecond, program.MaxWait); err != nil {
		return nil, err
	}
	token, err := readSecret(f.KeyFile)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: f.URL, Token: token, HTTP: &http.Client{Timeout: f.Timeout}})
}

// advise adds a hint to errors of the API.
func advise(err error) error {
	var e *client.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return hint(err, "is the API running there? see --url")
	case e.Status == http.StatusUnauthorized:
		return hint(err, "name a file with an API key: --key-file FILE")
	case e.Status == http.StatusForbidden:
		return hint(err, "the key or the policy does not allow this; see: api key list")
	case e.RetryAfter > 0:
		return hint(err, fmt.Sprintf("try again in %v", e.RetryAfter))
	case e.RequestID != "":
		return hint(err, "the request's id in the logs is "+e.RequestID)
	}
	return err
}

type vaultCreateCmd struct {
	Fields         []string      `arg:"" optional:"" help:"${h_fields}"`
	File           string        `help:"JSON object with the fields, or - for standard input." placeholder:"FILE"`
	IdempotencyKey string        `help:"A retry with the same key makes no second vault." placeholder:"KEY"`
	TTL            time.Duration `name:"ttl" help:"The vault is gone after this time, in whole seconds, 1s to 876000h; never by default." placeholder:"TIME"`

	clientFlags `embed:""`
}

// Run makes a vault.
func (cmd *vaultCreateCmd) Run(e *env) error {
	fields, err := cmd.fields(e.in)
	if err != nil {
		return err
	}
	c, err := cmd.client()
	if err != nil {
		return err
	}
	made, err := c.Create(e.ctx, fields, client.CreateOptions{IdempotencyKey: cmd.IdempotencyKey, TTL: cmd.TTL})
	if err != nil {
		return advise(err)
	}
	return e.print(made.ID, made)
}

func (cmd *vaultCreateCmd) fields(in io.Reader) (map[string]string, error) {
	fields := map[string]string{}
	if cmd.File != "" {
		data, err := readInput(cmd.File, in)
		if err != nil {
			return nil, err
		}
		defer clear(data)
		if json.Unmarshal(data, &fields) != nil {
			return nil, errors.New("the file is not a JSON object of strings")
		}
	}
	for _, f := range cmd.Fields {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, hint(program.Mistake("a field is not NAME=VALUE"), "for example city=Bern")
		}
		fields[name] = value
	}
	return fields, nil
}

func readInput(path string, in io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(path)
}

type vaultGetCmd struct {
	ID     string   `arg:"" help:"The vault."`
	Fields []string `arg:"" optional:"" help:"Fields to ask about."`

	clientFlags `embed:""`
}

// Run prints which fields a vault has.
func (cmd *vaultGetCmd) Run(e *env) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	present, tag, err := c.Get(e.ctx, cmd.ID, cmd.Fields...)
	if err != nil {
		return advise(err)
	}
	lines := []string{"revision " + tag}
	for _, name := range slices.Sorted(maps.Keys(present)) {
		word := "absent"
		if present[name] {
			word = "present"
		}
		lines = append(lines, name+" "+word)
	}
	return e.print(strings.Join(lines, "\n"), map[string]any{"id": cmd.ID, "tag": tag, "fields": present})
}

type vaultDecryptCmd struct {
	ID         string            `arg:"" help:"The vault."`
	Fields     []string          `arg:"" optional:"" help:"Fields to open."`
	Reason     string            `help:"Why; kept in the audit log." required:""`
	Expression map[string]string `help:"CEL expression as NAME=SOURCE; repeatable." mapsep:"none" placeholder:"NAME=CEL"`
	Only       bool              `help:"Print the expressions' results without the fields."`

	clientFlags `embed:""`
}

// Run opens fields and prints their values, which is its purpose.
func (cmd *vaultDecryptCmd) Run(e *env) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	req := client.DecryptRequest{Fields: cmd.Fields, Reason: cmd.Reason, Expressions: cmd.Expression}
	if cmd.Only {
		req.Include = &[]string{}
	}
	out, err := c.Decrypt(e.ctx, cmd.ID, req)
	if err != nil {
		return advise(err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(out.Data)) {
		lines = append(lines, name+" "+string(out.Data[name]))
	}
	for _, name := range out.Absent {
		lines = append(lines, "absent: "+name)
	}
	for _, text := range out.Errors {
		lines = append(lines, "failed: "+text)
	}
	for _, name := range slices.Sorted(maps.Keys(out.Failures)) {
		if at := out.Failures[name].Position; at != nil {
			lines = append(lines, fmt.Sprintf("see: [%s] line %d, column %d", name, at.Line, at.Column))
		}
	}
	shown := map[string]any{"data": out.Data, "errors": out.Errors, "absent": out.Absent}
	if len(out.Failures) > 0 {
		shown["failures"] = out.Failures
	}
	if err := e.print(strings.Join(lines, "\n"), shown); err != nil {
		return err
	}
	if len(out.Errors) > 0 {
		return errors.New("some fields could not be opened")
	}
	return nil
}
